"""Open only regular files, so that a pipe or a device cannot make zoo hang or cause side effects."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises OSError, also for a folder, a pipe, a device, or a NUL byte in the path.
    """
    try:
        _require_regular(os.stat(path))  # noqa: PTH116 - of a string too; opening a device may do something
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a NUL byte
        raise OSError(errno.EINVAL, "its name is not valid") from None
    try:
        _require_regular(os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def read_regular(path: str | Path, *, most: int) -> bytes:
    """Return the content of a regular file, without what another process appends in the meantime.

    Raises OSError, also if the file has more than `most` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
        return file.read(size)


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"it is {what}, not a regular file")
