"""The cache, and the folders where data is looked for.

What is in the cache may be made of files that only the user may read, so it is private: folders of mode 0700,
files of mode 0600. A folder that `$ZOO_CACHE` names stays as the user made it; those inside it do not.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import stat
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal, TypeVar

from zoo.errors import DataError
from zoo.files.atomic import sweep, sync_folder, temporary_folder

T = TypeVar("T")

# The folders in the cache: what can only be downloaded again, then what zoo makes again by itself
KINDS = ("downloads", "decoded", "synthesized", "hashes")
# MAP_NORESERVE, which Python names from 3.13 on
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0
# What to do about a full disk
MORE_SPACE = "free some space, or set $ZOO_CACHE to another folder"


def cache_home() -> Path:
    """Return the folder for downloads and what is made of them: `$ZOO_CACHE`, or the user's cache for zoo.

    Raises DataError if the user has no home.
    """
    try:
        return Path(os.environ.get("ZOO_CACHE") or users_folder("cache"))
    except OSError as error:
        raise DataError(f"there is no cache: {error.strerror}", hint="set $ZOO_CACHE to a folder") from None


def users_folder(kind: Literal["cache", "state"]) -> Path:
    """Return the folder that a user has for zoo: `$ZOO_STATE`, or the usual one of the system.

    Raises OSError if it is not absolute, since the current folder may be anybody's, or the user has no home.
    """
    import platformdirs

    try:
        folder = os.environ.get(f"ZOO_{kind.upper()}") or getattr(platformdirs, f"user_{kind}_dir")("zoo")
    except RuntimeError:  # of Path.home
        folder = ""
    if not os.path.isabs(folder):  # noqa: PTH117 - it may be empty
        raise OSError(errno.ENOENT, f"the {kind} folder {folder or 'of this user'!r} is not an absolute path")
    return Path(folder)


def data_home(root: str | None) -> list[Path]:
    """Return the folders to look for data in: `root` alone, else `$ZOO_DATA` and the cache's downloads."""
    if root is not None:
        return [Path(root).expanduser()]
    named = os.environ.get("ZOO_DATA")
    return [*([Path(named).expanduser()] if named else []), cache_home() / "downloads"]


def private(path: str, flags: int) -> int:
    """Open a file, no link, that only this user can read, whatever the umask: an opener for `open`."""
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    os.fchmod(handle, 0o600)
    return handle


def is_ours(path: Path) -> bool:
    """Return whether a file or folder is there, and nobody but this user and root can write it."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022
    return False


def mapped(path: Path) -> mmap.mmap:
    """Map a file that may be larger than memory: no memory is reserved, and what is written stays in memory.

    Raises OSError, and ValueError for an empty file.
    """
    flags, protection = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, flags=flags, prot=protection)


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone, whatever the umask.

    A folder that is there is made private, if it is the user's; that is how a cache of before becomes so.
    """
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError):
            if folder == path or not folder.exists():
                folder.mkdir(mode=0o700)
                folder.chmod(0o700)
    _make_private(path)


def _make_private(folder: Path) -> None:
    """Take a folder's permissions from everybody else, unless it is the cache itself or somebody else's."""
    with contextlib.suppress(OSError):
        found = folder.stat()
        ours = found.st_uid == os.geteuid() and folder != cache_home()
        if ours and stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)


def made_once(home: Path, make: Callable[[Path], None], read: Callable[[Path], T | None], *, what: str) -> T:
    """Return what `read` finds in a folder of the cache, which `make` fills first if necessary.

    The folder appears in one rename, so it is there whole or not at all, however many processes make it. One
    that another user can write is not read.

    Args:
        make: writes the content into the new folder it is given.
        read: reads the folder it is given, and returns None if it is missing or damaged.
        what: the folder's content, for messages, such as `the encoded text`.

    Raises:
        DataError: the folder cannot be written.
    """
    _make_private(home.parent)
    for _ in range(5):  # another process that replaces a damaged folder may remove ours with it
        content = read(home) if is_ours(home) else None
        if content is not None:
            return content
        shutil.rmtree(home, ignore_errors=True)
        if home.exists():  # another process has made it in the meantime, or it cannot be removed
            continue
        try:
            with _whole_folder(home) as folder:
                make(folder)
        except OSError as error:
            message = f"{what} cannot be written to {home.parent}: {error.strerror or error}"
            raise DataError(message, hint=MORE_SPACE) from None
    hint = "remove it, or set $ZOO_CACHE to another folder"
    raise DataError(f"{home} ({what}) is damaged and cannot be replaced", hint=hint)


@contextlib.contextmanager
def _whole_folder(path: Path) -> Generator[Path]:
    """Yield a new folder that becomes `path` if the block succeeds and is removed if it fails.

    If another process has made `path` in the meantime, its folder stays.
    """
    private_folder(path.parent)
    sweep(path.parent)
    with temporary_folder(path) as temporary:
        yield temporary
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
