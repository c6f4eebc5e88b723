"""Ctrl-Z for a command that has started processes: each has a session of its own, without a terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["can_be_stopped", "stopping_with_this_one"]

_PID = "pid-"
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def can_be_stopped(folder: Path) -> None:
    """Let this process be stopped and continued together with the one that has started it.

    Where Linux can, it also continues if that one ends, and so can end itself.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGCONT)
    (folder / f"{_PID}{os.getpid()}").touch()


@contextmanager
def stopping_with_this_one(folder: Path) -> Generator[None]:
    """Stop the processes of a folder with this one on SIGTSTP, which is Ctrl-Z, and continue them with it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTSTP) != signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> None:
        _send(signal.SIGSTOP, folder)
        try:
            os.kill(os.getpid(), signal.SIGSTOP)  # until `fg`, `bg` or `kill`
        finally:  # a signal that came in the meantime raises here
            _send(signal.SIGCONT, folder)

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _send(number: signal.Signals, folder: Path) -> None:
    for file in folder.glob(f"{_PID}*"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.name.removeprefix(_PID)), number)
