"""An ASGI layer that limits the number and the duration of requests."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.tools.serve.http_errors import Refused, answer
from zoo.tools.serve.request_limits import RequestLimits

# Where a request's cost is found in its scope
EXCHANGE = "zoo.exchange"


class Admission:
    """Limit the requests that compute something. A request ends when its client disconnects.

    At the limit, the request of the highest cost that has not been answered makes room for one of lower cost.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits
        self._exchanges = set[Exchange]()

    @property
    def inside(self) -> int:
        """The number of requests that are being read, are waiting, or are being computed."""
        return len(self._exchanges)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        has_files = headers.get("content-type", "").lower().startswith("multipart/")
        most = self._limits.body if has_files else self._limits.words
        length = headers.get("content-length", "")
        exchange = Exchange(receive, send, self._limits.seconds)
        exchange.cost = int(length) if length.isdecimal() else most
        if refused := self._refuses(exchange, most):
            return await answer(refused)(scope, receive, send)
        self._exchanges.add(exchange)
        scope[EXCHANGE] = exchange
        app = RequestBodyLimitMiddleware(self._app, max_body_size=most)
        try:
            await self._serve(app, scope, exchange)
        finally:
            self._exchanges.discard(exchange)

    def _refuses(self, exchange: Exchange, most: int) -> Refused | None:
        if exchange.cost > most:
            return Refused.too_large(most)
        if self.inside >= self._limits.requests and not self._make_room(exchange.cost):
            return Refused.busy(self.inside)
        return None

    def _make_room(self, cost: int) -> bool:
        """End the request of the highest cost if it is above a cost; return whether one was ended."""
        waiting = [exchange for exchange in self._exchanges if not exchange.started]
        costliest = max(waiting, key=lambda exchange: exchange.cost, default=None)
        if costliest is None or costliest.cost <= cost:
            return False
        costliest.end(Refused.busy(self.inside))
        self._exchanges.remove(costliest)
        return True

    async def _serve(self, app: ASGIApp, scope: Scope, exchange: Exchange) -> None:
        message = f"the request took more than {self._limits.seconds:g} seconds"
        try:
            async with asyncio.timeout(self._limits.seconds) as exchange.timer:
                await app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not exchange.timer.expired():
                raise
            if not (exchange.gone or exchange.started):
                late = Refused(504, message, hint="send a smaller request, or try again later")
                await answer(exchange.refused or late)(scope, exchange.receive, exchange.send)
        finally:
            exchange.close()


class Exchange:
    """A request and its response, under a timer that also ends when the client disconnects.

    Attributes:
        cost: bytes of the body, or pixels of its images if they are more.
    """

    timer: asyncio.Timeout
    cost = 0

    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self.started = self.gone = False
        self.refused: Refused | None = None
        self._ended = False
        self._receive, self._send, self._seconds = receive, send, seconds
        self._watch: asyncio.Task[None] | None = None

    def end(self, refused: Refused) -> None:
        """Answer with an error, and stop whatever computes another answer."""
        if not self.timer.expired():
            self.refused = refused
            self.timer.reschedule(asyncio.get_running_loop().time())

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
