"""uvicorn's HTTP/1.1, with limits on connections, on their time, and on the number of pieces of a body."""

from __future__ import annotations

import contextlib
import resource
from asyncio import BaseTransport, TimerHandle
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Bytes of a request's line and headers that have not arrived in full
_HEAD = 2**14
# Seconds until they must have arrived, after the connection began or the last request was answered
_SECONDS = 10
# Pieces of a body: each costs as much time as a hundred bytes, and all that have arrived are parsed at once
_PIECES, _BYTES_OF_A_PIECE = 1_000, 256
# More connections than a proxy opens
_MOST = 4_096


class Connections:
    """The open connections of a server. At their limit, a new connection takes the place of an old one.

    Attributes:
        patience: seconds in which a client must have read the response to its request.
        most: limit on the number of connections; by default, half the limit on open files.
        open: the connections, in the order in which they began to wait for a request or received one.
    """

    def __init__(self, *, patience: float, most: int | None = None) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        usual = _MOST if files == resource.RLIM_INFINITY else min(files // 2, _MOST)
        self.patience, self.most = patience, most or usual
        self.open: dict[Protocol, None] = {}

    def make_room(self) -> None:
        """At the limit, end the connection that has waited longest for a request, or else the oldest one."""
        if len(self.open) >= self.most:
            oldest = next((one for one in self.open if one.request is None), next(iter(self.open)))
            del self.open[oldest]
            oldest.transport.abort()


class Protocol(H11Protocol):
    """A connection that is closed if it takes too long, or if its request has too many chunks or headers.

    Attributes:
        request: what stands for the current request; None while the connection waits for headers.
    """

    def __init__(self, *args: Any, connections: Connections, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn = _Connection(h11.SERVER, _HEAD)
        self.request: object = None
        self._all = connections
        self._timers: list[TimerHandle] = []

    def connection_made(self, transport: BaseTransport) -> None:
        """Make room for the connection, and wait for headers."""
        super().connection_made(transport)  # pyright: ignore[reportArgumentType] - as uvicorn declares it
        self._all.make_room()
        self._set_timers()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        self._set_timers()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless the body of this one is still arriving, which might never end."""
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
        super().on_response_complete()
        self._set_timers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._all.open.pop(self, None)
        for timer in self._timers:
            timer.cancel()

    def _set_timers(self) -> None:
        """Start new timers if the connection has begun to wait for headers, or has a new request."""
        request = None if self.conn.their_state is h11.IDLE else self.cycle
        if self._timers and request is self.request:
            return
        for timer in self._timers:
            timer.cancel()
        self._timers = [self.loop.call_later(self._all.patience, self.transport.abort)]
        if request is None:  # closing still sends what is left of the last response
            self._timers.append(self.loop.call_later(_SECONDS, self.transport.close))
        self.request = request
        self._all.open.pop(self, None)
        self._all.open[self] = None

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
