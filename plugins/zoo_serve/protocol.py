"""uvicorn's HTTP/1.1, with a limit on the number of pieces of a body."""

from __future__ import annotations

import contextlib
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Protocol"]

# Bytes of a request's line and headers that have not arrived in full
_HEAD = 2**14
# Pieces of a body: each costs as much time as a hundred bytes, and all that have arrived are parsed at once
_PIECES, _BYTES_OF_A_PIECE = 1_000, 256


class Protocol(H11Protocol):
    """A connection that is closed if a body is split into too many chunks, or if a header is too large."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn = _Connection(h11.SERVER, _HEAD)

    def send_400_response(self, msg: str) -> None:
        """Respond that a request is invalid, unless a response has begun."""
        with contextlib.suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        if self.cycle:  # so that the application sends nothing more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


class _Connection(h11.Connection):
    _pieces = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._bytes += len(event.data)
            if self._pieces > _PIECES + self._bytes // _BYTES_OF_A_PIECE:
                raise h11.RemoteProtocolError("the body is split into too many small chunks")
        return event
