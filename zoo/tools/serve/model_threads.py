"""One thread for each model. It handles requests in order and predicts waiting inputs together.

    worker = Worker(model)
    rows = await worker.predict([image], top=3)
    findings = await worker.run(lambda: model.analyze("grad-cam", "cat.jpg"))
    async for token, surprisal in worker.stream(model.sample("def ").stream()):
        ...

Sampled texts take turns with other requests, a few tokens at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from zoo.api.model import Model
from zoo.tools.serve.http_errors import Refused

T = TypeVar("T")
Rows = list[dict[str, Any]]

# Seconds for which a text is sampled before whatever else waits has its turn
_TURN = 0.02
# Inputs that are predicted together, unless one request has more: what a model reads at a time
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Predict:
    """Inputs to predict. The result is a row for each input."""

    inputs: Sequence[Any]
    top: int | None
    result: Future[Rows] = field(default_factory=Future[Rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run(Generic[T]):
    """A function to call, which takes longer the higher its cost. The result is its return value."""

    function: Callable[[], T]
    cost: int
    result: Future[T]


@dataclass(slots=True, kw_only=True)
class _Stream(Generic[T]):
    """Items to compute one by one, and their consumer.

    Attributes:
        send: called with each item; with an exception, if computing the next item failed; and finally with
            None.
        stopped: whether the consumer has stopped.
    """

    items: Generator[T]
    send: Callable[[T | Exception | None], object]
    stopped: bool = False


class Worker:
    """The thread that computes with a model.

    The thread is idle while there are no requests. Requests whose client has disconnected are skipped.

    Attributes:
        batches: number of batches predicted.
        inputs: number of inputs predicted.
    """

    def __init__(self, model: Model) -> None:
        self.batches = self.inputs = 0
        self._model = model
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._numbers, self._runs = itertools.count(), list[tuple[int, int, _Run[Any]]]()  # a heap
        self._thread = threading.Thread(target=self._work, name=f"zoo-serve-{model.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The approximate number of waiting requests."""
        return self._asked.qsize() + len(self._runs)

    def predict(self, inputs: Sequence[Any], *, top: int | None = None) -> asyncio.Future[Rows]:
        """Await and return the rows of `model.predict`, or raise its error."""
        asked = _Predict(inputs=inputs, top=top)
        self._asked.put(asked)
        return asyncio.wrap_future(asked.result)

    def run(self, function: Callable[[], T], *, cost: int = 0) -> asyncio.Future[T]:
        """Await and return the result of a function, or raise its error.

        Of the functions that wait, the one with the lowest cost is next.
        """
        result = Future[T]()
        self._asked.put(_Run(function=function, cost=cost, result=result))
        return asyncio.wrap_future(result)

    async def stream(self, items: Generator[T], *, until: float = math.inf) -> AsyncGenerator[T]:
        """Yield items as they are computed, or raise their error.

        Closing the generator stops the computation.

        Raises Refused at a deadline, in seconds of `time.monotonic`, if items remain.
        """
        loop, computed = asyncio.get_running_loop(), asyncio.Queue[T | Exception | None]()
        asked = _Stream(items=items, send=lambda item: loop.call_soon_threadsafe(computed.put_nowait, item))
        self._asked.put(asked)
        try:
            while True:
                async with asyncio.timeout_at(None if until == math.inf else until):
                    item = await computed.get()
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        except TimeoutError:
            raise Refused(504, "the request took too long", hint="send a smaller request") from None
        finally:
            asked.stopped = True

    def close(self) -> None:
        """End the thread after all requests are done."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        closing = False
        while not closing or self.waiting:
            asked = self._waiting()
            closing = closing or None in asked
            self._answer([one for one in asked if one is not None])

    def _waiting(self) -> list[Any]:
        """Return all new requests. Wait for one if there is nothing else to do."""
        asked = [] if self._runs else [self._asked.get()]
        while True:
            try:
                asked.append(self._asked.get_nowait())
            except Empty:
                return asked

    def _answer(self, asked: Sequence[Any]) -> None:
        """Predict all waiting inputs, in batches for each `top`, and then handle the other requests.

        Of the functions to call, only one is called, since it may take long.
        """
        alike: dict[int | None, deque[_Predict]] = {}
        for one in asked:
            if isinstance(one, _Predict):
                alike.setdefault(one.top, deque()).append(one)
        for top, several in alike.items():
            while batch := _batch(several):
                self._predict(batch, partial(self._rows, top))
        for one in asked:
            if isinstance(one, _Run):
                heapq.heappush(self._runs, (one.cost, next(self._numbers), one))
            elif isinstance(one, _Stream):
                self._advance(one)
        if self._runs:
            *_, run = heapq.heappop(self._runs)
            if run.result.set_running_or_notify_cancel():
                settle(run.result, run.function)

    def _rows(self, top: int | None, inputs: Sequence[Any]) -> Rows:
        # from an iterator, since a list of files is refused if none of them can be read
        return [*self._model.predict(iter(inputs), top=top, progress=False)]

    def _predict(self, several: Sequence[_Predict], predict: Callable[[Sequence[Any]], Rows]) -> None:
        """Predict the inputs of several requests together; if that fails, one request after the other."""
        inputs = [given for one in several for given in one.inputs]
        self.batches += 1
        self.inputs += len(inputs)
        try:
            rows = iter(predict(inputs))
        except Exception:
            for one in several:
                settle(one.result, partial(predict, one.inputs))
            return
        for one in several:
            one.result.set_result([next(rows) for _ in one.inputs])

    def _advance(self, stream: _Stream[Any]) -> None:
        """Compute some items; the rest wait for their next turn."""
        until, end = time.monotonic() + _TURN, None
        try:
            for item in stream.items:
                stream.send(item)
                if stream.stopped:
                    break
                if time.monotonic() > until:
                    self._asked.put(stream)
                    return
        except Exception as error:
            end = error
        stream.items.close()
        with contextlib.suppress(RuntimeError):  # the event loop is closed, so nobody waits
            stream.send(end)


def _batch(several: deque[_Predict]) -> list[_Predict]:
    """Take the next requests to predict together, dropping those whose client has disconnected."""
    batch: list[_Predict] = []
    count = 0
    while several and (not batch or count + len(several[0].inputs) <= _BATCH):
        one = several.popleft()
        if one.result.set_running_or_notify_cancel():
            batch.append(one)
            count += len(one.inputs)
    return batch


def settle(result: Future[T], function: Callable[[], T]) -> None:
    """Set a future to the result or the error of a function."""
    try:
        result.set_result(function())
    except Exception as error:
        result.set_exception(error)
