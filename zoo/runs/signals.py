"""Handle Ctrl-C and SIGTERM as requests to stop: finish the step, save the run, exit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def listening(
    *, patient: bool = False, also: Callable[[], None] | None = None
) -> Generator[Callable[[], int]]:
    """Yield a function that returns the number of the first SIGINT or SIGTERM, or 0 before any signal.

    A second signal has its usual effect. With `patient`, it has no effect, even after the body, because the
    terminal, the parent and a scheduler may all signal the same process. A signal that is already ignored,
    such as SIGINT in a background job, stays ignored. Outside the main thread, no handlers are set because
    Python does not allow it.

    Args:
        also: a function to call when a signal arrives.
    """
    request = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal request
        request = request or number
        for watched, handler in () if patient else before.items():
            signal.signal(watched, handler)
        if also:
            also()

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: request
    finally:
        for number, handler in () if patient and request else before.items():
            signal.signal(number, handler)
