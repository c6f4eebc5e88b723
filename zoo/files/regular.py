"""Opening files that others name: only regular ones, so that no pipe or device makes zoo wait or act."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

__all__ = ["open_regular", "read_regular"]


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError, also for a folder, a pipe, a device or a NUL byte."""
    try:
        _require_regular(path.stat())  # opening a device may already do something
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a NUL byte
        raise OSError(errno.EINVAL, "its name is not valid") from None
    file = os.fdopen(handle, "rb")
    try:
        _require_regular(os.fstat(handle))
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path, *, most: int) -> bytes:
    """Return the content of a regular file. Raises OSError, also if it has more than `most` bytes."""
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
    return data


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
