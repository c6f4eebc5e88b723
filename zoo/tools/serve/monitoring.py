"""Monitoring for operators: a log line for each request, and `GET /metrics`."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.tools.serve.served_models import Served


class Monitor:
    """An ASGI layer that counts requests and writes a line for each: method, route, status, milliseconds."""

    def __init__(self, app: ASGIApp, *, log: Callable[[str], object] | None = None) -> None:
        self._app = app
        self._log = log
        self._requests = Counter[tuple[str, str, int]]()
        self._seconds = defaultdict[tuple[str, str], float](float)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, began = 0, time.perf_counter()  # 0: there was no answer

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            seconds, method = time.perf_counter() - began, _method(scope)
            route: str = getattr(scope.get("route"), "path", "") or "other"
            self._requests[method, route, status] += 1
            self._seconds[method, route] += seconds
            if self._log:
                self._log(f"{method} {route} {status} {1_000 * seconds:.0f} ms")

    def text(self, models: Mapping[str, Served], inside: int) -> str:
        """Return the counts in Prometheus's text format."""
        lines = [
            *_lines("zoo_requests_total", "counter", ("method", "route", "status"), self._requests.items())
        ]
        lines += _lines("zoo_request_seconds_total", "counter", ("method", "route"), self._seconds.items())
        lines += _lines("zoo_requests_inside", "gauge", (), [((), inside)])
        for name in ("batches", "inputs"):
            counts = [((served.name,), getattr(served.worker, name)) for served in models.values()]
            lines += _lines(f"zoo_predicted_{name}_total", "counter", ("model",), counts)
        waiting = [((served.name,), served.worker.waiting) for served in models.values()]
        return "\n".join([*lines, *_lines("zoo_waiting", "gauge", ("model",), waiting), ""])


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"


def _lines(
    name: str, kind: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[object, ...], float]]
) -> list[str]:
    lines = [f"# TYPE {name} {kind}"]
    for values, count in sorted(counts, key=lambda pair: str(pair[0])):
        quoted = (str(value).replace("\\", r"\\").replace('"', r"\"") for value in values)
        of = ",".join(f'{label}="{value}"' for label, value in zip(labels, quoted, strict=True))
        lines.append(f"{name}{{{of}}} {count:g}" if of else f"{name} {count:g}")
    return lines
