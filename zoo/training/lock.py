"""A lock on a folder, which the kernel releases when its owner dies."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from zoo.errors import RunError
from zoo.files.atomic import is_running

__all__ = ["alone", "owned"]

_PROCESS = threading.Lock()


@contextmanager
def alone() -> Generator[None]:
    """Refuse a second training in this process: torch's random generator and thread count are shared.

    Raises RunError.
    """
    if not _PROCESS.acquire(blocking=False):
        raise RunError("another training is running in this process", hint="run it in a process of its own")
    try:
        yield
    finally:
        _PROCESS.release()


@contextmanager
def owned(folder: Path) -> Generator[None]:
    """Hold the lock of a folder. Raises RunError naming the process that holds it."""
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it, or choose another --run"
            raise RunError(f"{folder} is in use by {_owner(file)}", hint=hint) from None
        file.truncate(0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}")
        file.flush()
        yield


def _owner(file: IO[str]) -> str:
    """Return who holds a lock; a process that has just taken it may not have written its name yet."""
    for _ in range(100):
        file.seek(0)
        text = file.read(300)
        match = re.match(r"process (\d+) on (.+) since ", text)
        if match and (match[2] != socket.gethostname() or is_running(int(match[1]))):
            return text
        time.sleep(0.02)
    return "another process"
