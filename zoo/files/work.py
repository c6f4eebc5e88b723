"""Long work on files, such as a download, tells whoever is listening how far it has come.

Between a command and a download stands the code of a plugin, so the listener is not an argument but a context
variable: a dataset that reads its files through zoo shows progress without doing anything for it.
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
    """Call `listener` with each report of work that is done inside, in this thread."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_work(what: str, done: int, total: int, unit: str) -> None:
    """Report how far some work has come, such as `("downloading a.zip", 1_000, 30_000, "bytes")`.

    Args:
        total: all there is to do; 0 if that is unknown.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(what, done, total, unit)
