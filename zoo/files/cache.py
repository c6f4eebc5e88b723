"""The cache, and the folders that are searched for data.

The cache may contain data from files that only the user can read, so it is private: folders have mode 0700,
and files have mode 0600. The mode of the `$ZOO_CACHE` folder itself is not changed, but folders inside it are
made private.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Literal

from zoo.errors import DataError

# The folders in the cache: what can only be downloaded again, then what zoo makes again by itself
KINDS = ("downloads", "decoded", "synthesized", "hashes")
# What to do about a full disk
MORE_SPACE = "free some space, or set $ZOO_CACHE to a different folder"


def cache_home() -> Path:
    """Return the folder for downloads and derived data: `$ZOO_CACHE`, or the user's cache folder for zoo.

    Raises DataError if the user has no home folder.
    """
    try:
        return Path(os.environ.get("ZOO_CACHE") or users_folder("cache"))
    except OSError as error:
        raise DataError(f"no cache folder is available: {error.strerror}", hint="set $ZOO_CACHE") from None


def users_folder(kind: Literal["cache", "state"]) -> Path:
    """Return the user's folder for zoo: the value of a variable such as `$ZOO_STATE`, or the default.

    Raises OSError if the user has no home folder, or if the path is not absolute, since it would depend on
    the current folder, which may belong to anyone.
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
    """Return the folders to search for data, in order; they may not exist.

    Only `root` if it is given; otherwise `$ZOO_DATA`, if it is set, and the downloads in the cache.
    """
    if root is not None:
        return [Path(root).expanduser()]
    named = os.environ.get("ZOO_DATA")
    return [*([Path(named).expanduser()] if named else []), cache_home() / "downloads"]


def private(path: str, flags: int) -> int:
    """Open a file (not a link) that only this user can read, regardless of the umask; opener for `open`."""
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    os.fchmod(handle, 0o600)
    return handle


def is_ours(path: Path) -> bool:
    """Return whether a file or folder exists and only this user and root can write to it."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022
    return False


def private_folder(path: Path) -> None:
    """Create a folder and its missing parents, which only this user can access, regardless of the umask.

    A folder of this user that already exists, such as a cache from an earlier version, is also made private.
    """
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError):
            if folder == path or not folder.exists():
                folder.mkdir(mode=0o700)
                folder.chmod(0o700)
    make_private(path)


def make_private(folder: Path) -> None:
    """Make a folder private, unless it is the cache itself, elsewhere behind a link, or another user's."""
    with contextlib.suppress(OSError):
        real = folder.resolve()
        found = real.stat()
        inside = any(home.resolve() in real.parents for home in (cache_home(), users_folder("state")))
        if inside and found.st_uid == os.geteuid() and found.st_mode & 0o077:
            real.chmod(0o700)
