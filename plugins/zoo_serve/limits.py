"""What one request may ask for, and how many may wait. A request for more is refused in words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_TOKENS", "Limits"]

# Tokens that one request may sample; part of the description of the API
MOST_TOKENS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a server; a proxy in front of it should have lower ones, or the same.

    Attributes:
        body: bytes of a form with files, which is refused while it arrives.
        inputs: images or texts of a request.
        pixels: pixels of all images of a request, as their headers announce; decoded, each takes 4 bytes.
        characters: characters of all texts of a request, or of a prompt.
        requests: requests that are being read, wait or are computed at a time.
        seconds: how long a request may take from its first byte until its answer begins. What is streamed
            ends then.
    """

    body: int = 16 * 2**20
    inputs: int = 64
    pixels: int = 2**26
    characters: int = 20_000
    requests: int = 128
    seconds: float = 60.0

    @property
    def words(self) -> int:
        """Bytes of a body without files: a form takes at most 9 for a 16-bit character, JSON 6."""
        return min(self.body, 9 * self.characters + 2**14)
