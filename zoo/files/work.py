"""Report the progress of long file operations, such as a download, to a listener.

A plugin's code runs between a command and a download, so the listener is a context variable rather than an
argument: a dataset that reads its files through zoo shows progress without additional code.
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
    """Call `listener` with each progress report from this thread in the `with` block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_work(what: str, done: int, total: int, unit: str) -> None:
    """Report the progress of an operation, such as `("downloading a.zip", 1_000, 30_000, "bytes")`.

    zoo shows the progress, the rate and the remaining time, unless it is quiet.

    Args:
        total: the total amount of work; 0 if unknown.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(what, done, total, unit)
