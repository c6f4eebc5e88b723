"""Who reads inputs: the caller while that is quick, threads once it takes long; in order in any case."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from zoo.data import read_ahead
from zoo.data.read_ahead import Unread, in_batches
from zoo.data.sources import Source
from zoo.errors import DataError


@pytest.mark.parametrize(
    ("seconds", "held_up", "several"),
    [(0.0, 0.0, False), (0.005, 0.0, True), (0.0001, 0.002, False)],
    ids=["quick", "slow", "quick beside other work"],
)
def test_threads_read_what_takes_long(
    seconds: float, held_up: float, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers, now = set[threading.Thread](), 0.0
    monkeypatch.setattr(read_ahead, "time", SimpleNamespace(perf_counter=lambda: now))

    def read(number: int) -> int:
        nonlocal now
        now += seconds + held_up * (number % 7 == 0)
        readers.add(threading.current_thread())
        if number == 30:
            raise DataError("30 is broken")
        return number

    sources = [Source(str(number), number) for number in range(90)]
    double: Any = lambda items: [2 * item for item in items]  # noqa: E731
    pools = list[ThreadPoolExecutor]()

    def pool(*arguments: Any, **settings: Any) -> ThreadPoolExecutor:
        pools.append(ThreadPoolExecutor(*arguments, **settings))
        return pools[-1]

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor", pool)
    found = [*in_batches(sources, read, double, size=7, threads=3)]
    assert [source.name for source, _ in found] == [str(number) for number in range(90)]
    answers = [answer for _, answer in found]
    assert answers == [Unread("is broken") if number == 30 else 2 * number for number in range(90)]
    assert threading.current_thread() in readers
    assert bool(readers - {threading.current_thread()}) == several
    assert bool(pools) == several, "nor is anything made for threads"
