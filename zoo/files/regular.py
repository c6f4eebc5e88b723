"""Open only regular files, so that a pipe or a device cannot make zoo hang or cause side effects.

Files that are written in place are not opened through links, since the file that changes may be elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

# Bytes of a file that need not be stored, besides three quarters of it
_SPARSE = 1 << 29


def open_regular(path: str | Path, *, write: bool = False) -> IO[bytes]:
    """Open a regular file for reading.

    Raises OSError, also for a folder, a pipe, a device, a large file of which most is not stored, or a NUL
    byte in the path.

    Args:
        write: open the file for writing as well, and create it if it does not exist; OSError is raised for a
            symbolic link, and for a file with several names.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW if write else os.O_RDONLY
    try:
        if not write or os.path.lexists(path):  # opening a device may do something
            _require_regular(os.stat(path, follow_symlinks=not write), write=write)  # noqa: PTH116 - of a string too
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except ValueError:  # a NUL byte
        raise OSError(errno.EINVAL, "its name is not valid") from None
    try:
        status = os.fstat(handle)
        _require_regular(status, write=write)
        _require_stored(handle, status)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "r+b" if write else "rb")


def read_regular(path: str | Path, *, most: int) -> bytes:
    """Return the content of a regular file, without what another process appends in the meantime.

    Raises OSError, also if the file has more than `most` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
        return file.read(size)


def _require_regular(status: os.stat_result, *, write: bool) -> None:
    if stat.S_ISLNK(status.st_mode) or (write and stat.S_ISREG(status.st_mode) and status.st_nlink > 1):
        raise OSError(errno.ELOOP, "it is a link to another file")
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"it is {what}, not a regular file")


def _require_stored(handle: int, status: os.stat_result) -> None:
    """Raise OSError for a sparse file: a few bytes on disk may be terabytes to read."""
    size, stored = status.st_size, status.st_blocks * 512
    if size > 4 * stored + _SPARSE:  # or a file system that counts no blocks, or counts them later
        if os.lseek(handle, 0, os.SEEK_HOLE) < size:
            what = f"it is a sparse file: only {stored:,} of its {size:,} bytes are stored"
            raise OSError(errno.EFBIG, what)
        os.lseek(handle, 0, os.SEEK_SET)
