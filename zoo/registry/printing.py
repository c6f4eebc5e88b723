"""What a plugin prints while it is imported, kept off stdout, which belongs to whoever runs zoo."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from typing import IO

# stdout is of the whole process
_LOCK = threading.RLock()


@contextlib.contextmanager
def printing_to(target: IO[str]) -> Generator[None]:
    """Send what is printed on stdout to another stream, in one thread at a time."""
    with _LOCK, contextlib.redirect_stdout(target):
        yield
