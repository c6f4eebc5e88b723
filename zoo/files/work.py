"""Report the progress of long work on files, such as a download, to a listener.

A plugin's code runs between a command and a download, so the listener is a context variable rather than an
argument: a dataset that reads its files through zoo shows progress without any code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

# Called with what is done, how much of it, how much there is to do (0 if unknown), and the unit
Listener = Callable[[str, int, int, str], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Call `listener` with each report of work in the body, in this thread."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_work(what: str, done: int, total: int, unit: str) -> None:
    """Report the progress of some work, such as `("downloading a.zip", 1_000, 30_000, "bytes")`.

    Args:
        total: the total amount of work; 0 if unknown.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(what, done, total, unit)
