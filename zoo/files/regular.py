"""Opening files that others name: only regular ones, so that no pipe or device makes zoo wait or act."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

# Bytes read at a time
_CHUNK = 2**16


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError, also for a folder, a pipe, a device or a NUL byte."""
    handle, _ = _opened(path)
    return os.fdopen(handle, "rb")


def read_regular(path: str | Path, *, most: int) -> bytes:
    """Return the content of a regular file. Raises OSError, also if it has more than `most` bytes."""
    handle, size = _opened(path)  # without a file object, which takes longer than reading a small file
    chunks, left = list[bytes](), most + 1
    try:
        while size <= most and left and (chunk := os.read(handle, min(left, _CHUNK))):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(handle)
    if size > most or not left:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
    return b"".join(chunks)


def _opened(path: str | Path) -> tuple[int, int]:
    """Return a descriptor of a regular file, and how many bytes are in it."""
    try:
        _require_regular(os.stat(path))  # noqa: PTH116 - of a string too; opening a device may do something
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a NUL byte
        raise OSError(errno.EINVAL, "its name is not valid") from None
    try:
        status = os.fstat(handle)
        _require_regular(status)
    except OSError:
        os.close(handle)
        raise
    return handle, status.st_size


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"it is {what}, not a regular file")
