"""Redirect the output that a plugin prints while it is imported, so that it does not go to stdout."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Generator
from typing import Any, cast

_LOCK = threading.RLock()


@contextlib.contextmanager
def printing_to(target: Any) -> Generator[None]:
    """Redirect this thread's stdout to another stream in the `with` block; other threads are not affected."""
    me = threading.get_ident()
    with _LOCK:
        if not isinstance(sys.stdout, _ByThread):
            sys.stdout = cast("Any", _ByThread(sys.stdout))
        split = cast("_ByThread", sys.stdout)
        outer = split.targets.get(me)
        split.targets[me] = target
    try:
        yield
    finally:
        with _LOCK:
            split.targets.pop(me)
            if outer is not None:
                split.targets[me] = outer
            if not split.targets and sys.stdout is split:
                sys.stdout = split.usual


class _ByThread:
    """A replacement for stdout that writes to a different stream in some threads."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual
        self.targets: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        usual = io.StringIO() if self.usual is None else self.usual  # stdout may be closed
        return getattr(self.targets.get(threading.get_ident(), usual), name)
