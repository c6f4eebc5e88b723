"""Ctrl-C and SIGTERM as a request to stop: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "listening"]


class StopRequest:
    """The signal that asks the run to stop, if there was one."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> int:
        """Return the number of the signal, or 0."""
        return self.signal


@contextmanager
def listening() -> Generator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a StopRequest; a second one acts as it would have before.

    An ignored signal stays ignored, such as SIGINT in a background job. Outside the main thread, where Python
    allows no handlers, none are set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    def ask(number: int, _: FrameType | None) -> None:
        request.signal = number
        for watched, handler in before.items():
            signal.signal(watched, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
