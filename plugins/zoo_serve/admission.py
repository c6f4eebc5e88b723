"""An ASGI layer that limits the number and the duration of requests."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo_serve.errors import Refused, answer
from zoo_serve.limits import Limits

__all__ = ["Admission"]


class Admission:
    """Limit the requests that compute something. A request ends when its client disconnects.

    Attributes:
        inside: number of requests that are being read, are waiting, or are being computed.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.inside = 0
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        has_files = headers.get("content-type", "").lower().startswith("multipart/")
        most = self._limits.body if has_files else self._limits.words
        if refused := self._refuses(headers, most):
            return await answer(refused)(scope, receive, send)
        self.inside += 1
        app = RequestBodyLimitMiddleware(self._app, max_body_size=most)
        try:
            await self._serve(app, scope, _Exchange(receive, send, self._limits.seconds))
        finally:
            self.inside -= 1

    def _refuses(self, headers: Headers, most: int) -> Refused | None:
        if self.inside >= self._limits.requests:
            message = f"the server is busy: {self.inside} requests are being served"
            return Refused(503, message, hint="try again later", headers={"Retry-After": "1"})
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            return Refused.too_large(most)
        return None

    async def _serve(self, app: ASGIApp, scope: Scope, exchange: _Exchange) -> None:
        try:
            async with asyncio.timeout(self._limits.seconds) as exchange.timer:
                await app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not exchange.timer.expired():
                raise
            if not (exchange.gone or exchange.started):
                message = f"the request took more than {self._limits.seconds:g} seconds"
                refused = Refused(504, message, hint="send a smaller request, or try again later")
                await answer(refused)(scope, exchange.receive, exchange.send)
        finally:
            exchange.close()


class _Exchange:
    """A request and its response, under a timer that also ends when the client disconnects."""

    timer: asyncio.Timeout

    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self.started = self.gone = False
        self._ended = False
        self._receive, self._send, self._seconds = receive, send, seconds
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False) and not self._watch:
            self._watch = asyncio.create_task(self._wait_for_end())
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.started:
            self.started = True
            if not self.timer.expired():  # the client has as long again to take the answer
                self.timer.reschedule(asyncio.get_running_loop().time() + 2 * self._seconds)
        elif not message.get("more_body", False):
            self._ended = True
        await self._send(message)

    async def _wait_for_end(self) -> None:
        await self._receive()  # all that can come after the body
        if not self._ended:
            self.gone = True
            self.timer.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        self._ended = True
        if self._watch:
            self._watch.cancel()
