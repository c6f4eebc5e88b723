"""Read the items of a map-style dataset in batches, so that each item depends only on its position.

Items may draw from the global generators of torch, NumPy and `random`, for example in transforms. Such items
are read in order, each with generators that are seeded for it. If items do not draw and are slow to read, a
thread reads one batch ahead.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.seeds import GLOBAL_GENERATOR, seed_for

# Seconds to read an item from which on a thread reads ahead; shorter reads would compete with the training
_SLOW = 0.0005
_EVALUATION = ("evaluation",)
T = TypeVar("T")


class Indices(Sequence[list[int]]):
    """The indices of each batch, as lists that are made only when they are read.

    Args:
        batches: the indices of each batch, (B,).
        position: the seed and the epoch of a training, from which the random numbers of items follow.
    """

    def __init__(self, batches: Sequence[Tensor], position: tuple[int | str, ...] = _EVALUATION) -> None:
        self._batches = batches
        self.position = position

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, number: int) -> list[int]: ...
    @overload
    def __getitem__(self, number: slice) -> Indices: ...
    def __getitem__(self, number: int | slice) -> list[int] | Indices:
        if isinstance(number, slice):
            return Indices(self._batches[number], self.position)
        return self._batches[number].tolist()


def one_ahead(
    read: Callable[[Sequence[int]], T], wanted: Iterable[Sequence[int]], waiting: Future[T] | None = None
) -> Generator[T]:
    """Yield what `read` returns for each batch of indices; a thread reads the next batch in the meantime.

    Args:
        waiting: the result for a batch before these, which is yielded first.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="zoo-read")
    try:
        for indices in wanted:
            following = pool.submit(copy_context().run, read, indices)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
    finally:
        pool.shutdown(cancel_futures=True)


def item_batches(split: Any, wanted: Sequence[Sequence[int]]) -> Iterator[list[Any]]:
    """Yield the items of each batch of indices, in order."""
    position = wanted.position if isinstance(wanted, Indices) else _EVALUATION
    begun = time.perf_counter()
    first = next((_undrawn(split, indices) for indices in wanted[:1]), None)
    is_slow = first is not None and time.perf_counter() - begun > _SLOW * len(first)
    waiting: Future[list[Any] | None] = Future()
    waiting.set_result(first)
    read = partial(_undrawn, split, alone=False)
    done = 0
    with contextlib.closing(one_ahead(read, wanted[1:] if is_slow else (), waiting)) as ahead:
        for items in ahead:
            if items is None:  # some items draw, or must be read by this thread
                break
            yield items
            done += 1
    draws = first is None
    for indices in wanted[done:]:
        items = None if draws else _undrawn(split, indices)
        draws = items is None
        yield _seeded(split, indices, position) if items is None else items


def _undrawn(split: Any, indices: Sequence[int], *, alone: bool = True) -> list[Any] | None:
    """Return items, or None if reading them fails, or if they draw from a global generator.

    Args:
        alone: whether no other thread uses torch's generator in the meantime.
    """
    with GLOBAL_GENERATOR if alone else _NoDraws():
        before, drawn = _states(), torch.get_rng_state() if alone else None
        try:
            items = [split[index] for index in indices]
        except (Exception, _DrawnError):  # it is read again, and then it may raise this
            items = None
        if drawn is not None and not torch.equal(torch.get_rng_state(), drawn):
            torch.set_rng_state(drawn)
            items = None
        if not _same(_states(), before):
            _restore(before)
            items = None
    return items


def _seeded(split: Any, indices: Sequence[int], position: tuple[int | str, ...]) -> list[Any]:
    """Return items, each read with generators that are seeded by its position."""
    with GLOBAL_GENERATOR:
        before, drawn = _states(), torch.get_rng_state()
        items: list[Any] = []
        try:
            for index in indices:
                seed = seed_for(*position, "item", index)
                torch.default_generator.manual_seed(seed)
                np.random.seed(seed % 2**32)
                random.seed(seed)
                items.append(split[index])
        finally:
            torch.set_rng_state(drawn)
            _restore(before)
    return items


class _DrawnError(BaseException):
    """An item draws from torch's generator; not an Exception, which the item might catch."""


class _NoDraws(TorchDispatchMode):
    """Raise _DrawnError before an operation of this thread draws from torch's generator."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # or the first use imports torch.compile, for seconds
        return False

    @classmethod
    def ignore_compile_internals(cls) -> bool:  # or a model would not be compiled meanwhile
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and (kwargs or {}).get("generator") is None:
            raise _DrawnError
        return func(*args, **(kwargs or {}))


def _states() -> tuple[Any, Any]:
    """Return the states of the global generators of `random` and NumPy."""
    return random.getstate(), np.random.get_state()


def _same(now: tuple[Any, Any], before: tuple[Any, Any]) -> bool:
    return now[0] == before[0] and all(map(np.array_equal, now[1], before[1]))


def _restore(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
