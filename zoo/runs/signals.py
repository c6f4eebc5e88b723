"""Ctrl-C and SIGTERM as a request to stop: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def listening(*, patient: bool = False) -> Generator[Callable[[], int]]:
    """Yield a function that returns the number of the first SIGINT or SIGTERM, or 0 without a signal.

    A second signal has its previous effect or, if `patient`, no effect, even after the body: each of several
    processes may be signaled by the terminal, by its parent, and by a scheduler. An ignored signal stays
    ignored, such as SIGINT in a background job. Outside the main thread, where Python does not allow
    handlers, none are set.
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

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: request
    finally:
        for number, handler in () if patient and request else before.items():
            signal.signal(number, handler)
