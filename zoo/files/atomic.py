"""Write files atomically: a file is either complete or absent.

To survive a power failure, write a temporary file in the same folder, flush, fsync, rename, fsync the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import IO

from zoo.errors import OutputError

_TEMPORARY = re.compile(r"\..+\.(?P<host>[0-9a-f]{12})\.[0-9a-f]{8}\.tmp")


def write_output(path: Path, content: bytes) -> None:
    """Write a file that the user named, atomically: it is complete or unchanged.

    A pipe or a device is not replaced: the content is written into it. The same applies to all that is in
    `/dev`, where `/dev/stdout` can be a link to a file.

    Raises OutputError if it cannot be written.
    """
    special = (path.exists() and not path.is_file()) or path.absolute().parent == Path("/dev")
    try:
        with path.open("ab") if special else atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def atomic_write(
    path: Path, *, keep: Path | None = None, folder: int | None = None, mode: int | None = None
) -> Generator[IO[bytes]]:
    """Open a temporary file that becomes `path` if the `with` block succeeds, and is removed if it fails.

    A link at `path` is replaced; its target does not change. Raises OSError if the file cannot be written.

    Args:
        keep: path in the same folder to which an existing file at `path` is moved.
        folder: descriptor of the open folder that contains `path`; the file is written there even if the
            folder has been moved.
        mode: permissions of the file, such as 0o600; by default, the umask determines them.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, folder)
        try:
            temporary, file = _new_file(path.name, folder, mode)
        except OSError as error:
            error.filename = os.fspath(path)  # what the caller knows
            raise
        stack.callback(file.close)  # until then it is locked, so that nobody sweeps it
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if keep is not None and _is_in(folder, path.name):
                os.replace(path.name, keep.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error matters, not the clean-up
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Generator[Path]:
    """Yield a new hidden folder beside `path` that only this user can access; remove it at the end."""
    while True:
        temporary = path.with_name(_temporary_name(path.name))
        temporary.mkdir(mode=0o700)
        temporary.chmod(0o700)  # whatever the umask
        try:
            descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        if _claim(descriptor):
            break
        os.close(descriptor)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove temporary files in `folder` whose writers on this machine have died.

    A writer locks its file, so other containers can also tell that it is alive, although its process id means
    nothing there. On file systems without locks, nothing is removed.
    """
    for path in folder.glob(".*.tmp"):
        made = _TEMPORARY.fullmatch(path.name)
        if not made or made["host"] != _host() or path.is_symlink():
            continue
        kind = os.O_RDONLY if path.is_dir() else os.O_RDWR  # some file systems lock only what is writable
        with contextlib.suppress(OSError):
            descriptor = os.open(path, kind | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)


def _new_file(name: str, folder: int, mode: int | None) -> tuple[str, IO[bytes]]:
    """Create and lock a temporary file for `name` in an open folder; return its name and the file."""

    def opener(path: str, flags: int) -> int:
        handle = os.open(path, flags, 0o666 if mode is None else mode, dir_fd=folder)
        if mode is not None:
            os.fchmod(handle, mode)  # whatever the umask
        return handle

    while True:
        temporary = _temporary_name(name)
        file = io.open(temporary, "x+b", opener=opener)  # noqa: SIM115, UP020 - closed by the caller
        if _claim(file.fileno()):
            return temporary, file
        file.close()


def _claim(descriptor: int) -> bool:
    """Lock a new file or folder, if the file system supports locks; return whether it still exists."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # waits while `sweep` is just removing it
    return os.fstat(descriptor).st_nlink > 0


def _temporary_name(name: str) -> str:
    return f".{name}.{_host()}.{os.urandom(4).hex()}.tmp"


def _is_in(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _host() -> str:
    """Return digits that tell this machine from others; a folder with its name may be copied elsewhere."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]
