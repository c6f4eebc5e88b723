"""Read inputs, with several threads if reading is slow, and process them in batches."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from zoo.data.sources import Source
from zoo.errors import DataError

if TYPE_CHECKING:
    from concurrent.futures import Future

# The most threads that read, unless the user chooses
_MOST_THREADS = 8
# Seconds of a read that is worth handing to a thread, which also holds Python's lock while the network wants
# it. Threads read once reads have taken so much longer; shorter ones make up for those that were held up.
_LONG, _PATIENCE = 0.0005, 0.01
T = TypeVar("T")


class Unread(NamedTuple):
    """The reason that an item could not be read; it replaces the item."""

    why: str


def workers(threads: int | None) -> int:
    """Return the number of reading threads: the requested number, or one per core, up to eight."""
    return threads or min(_MOST_THREADS, os.cpu_count() or 1)


def in_batches(
    sources: Iterable[Source],
    read: Callable[[Any], Any],
    answer: Callable[[list[Any]], Sequence[T]],
    *,
    size: int,
    threads: int,
) -> Iterator[tuple[Source, T | Unread]]:
    """Yield each source, in order, with its result, or the reason that it could not be read.

    Args:
        read: function that returns the item of a source; several threads call it.
        answer: function that returns a result for each of up to `size` items.
    """
    pairs = _read_ahead(sources, read, threads=threads, ahead=size)
    while chunk := list(itertools.islice(pairs, size)):
        items = [item for _, item in chunk if not isinstance(item, Unread)]
        answers = iter(answer(items) if items else ())
        for source, item in chunk:
            yield source, item if isinstance(item, Unread) else next(answers)


def _read_ahead(
    sources: Iterable[Source], read: Callable[[Any], Any], *, threads: int, ahead: int
) -> Iterator[tuple[Source, Any]]:
    """Yield sources and their items in order. If reading is slow, threads read ahead."""
    sources, attempt = iter(sources), partial(_attempt, read)
    if not (yield from _while_quick(sources, attempt)):
        return
    from concurrent.futures import ThreadPoolExecutor  # only here: few inputs are read without

    pool = ThreadPoolExecutor(threads, thread_name_prefix="zoo-read")
    waiting: deque[tuple[Source, Future[Any]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(attempt, source)))
            if len(waiting) > ahead + 2 * threads:
                first, item = waiting.popleft()
                yield first, item.result()
        while waiting:
            first, item = waiting.popleft()
            yield first, item.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _while_quick(
    sources: Iterable[Source], attempt: Callable[[Source], Any]
) -> Generator[tuple[Source, Any], None, bool]:
    """Yield sources and their items until reading turns out to be slow; return whether it is slow."""
    spent = 0.0
    for number, source in enumerate(sources):
        began = time.perf_counter()
        item = attempt(source)
        took = time.perf_counter() - began
        if number:  # the first one may import what decodes
            spent = max(0.0, spent + took - _LONG)
        yield source, item
        if spent > _PATIENCE:
            return True
    return False


def _attempt(read: Callable[[Any], Any], source: Source) -> Any:
    """Return the item of a source, or the reason that it could not be read."""
    if source.error:
        return Unread(source.error)
    try:
        return read(source.value)
    except DataError as error:
        return Unread(str(error).removeprefix(f"{source.name} "))
    except OSError as error:
        return Unread(f"cannot be read: {error.strerror or error}")
