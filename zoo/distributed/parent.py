"""End a process when its parent ends. Does not import torch, so this works from the start."""

from __future__ import annotations

import os
import signal
import threading
import time


def end_with(parent: int) -> None:
    """Stop this process with SIGTERM once `parent` is no longer its parent."""
    threading.Thread(target=_watch, args=[parent], daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
