"""Limits on the size of a request, and on the number of waiting requests.

Requests beyond the limits are rejected.
"""

from __future__ import annotations

from dataclasses import dataclass

# Tokens that one request may sample; part of the description of the API
MOST_TOKENS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of a server; a proxy in front of the server should have the same limits or lower ones.

    Attributes:
        body: bytes of a form with files; a larger form is rejected while it arrives.
        inputs: number of images or texts in a request.
        pixels: number of pixels of all images in a request, according to their headers; those of a JPEG count
            a quarter. A decoded pixel takes 4 bytes.
        characters: number of characters of all texts in a request, or of a prompt.
        requests: number of requests that are being read, are waiting, or are being computed at the same time.
        seconds: time from a request's first byte until its response must begin. A stream ends at that time.
    """

    body: int = 16 * 2**20
    inputs: int = 64
    pixels: int = 2**24
    characters: int = 20_000
    requests: int = 128
    seconds: float = 60.0

    @property
    def words(self) -> int:
        """Maximum bytes of a body without files; a 16-bit character takes at most 9 in a form, 6 in JSON."""
        return min(self.body, 9 * self.characters + 2**14)
