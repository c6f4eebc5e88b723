"""Which config.toml this account wrote: that of a run may name paths, a file from elsewhere may not.

The user's state directory has an empty file for each of them, named by its sha256. So a run directory may be
moved, and a changed file is one from elsewhere. Where the state directory cannot be written, nothing is
remembered, and the user has to name where the data is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from zoo.files.cache import private, private_folder, users_folder
from zoo.files.regular import read_regular

__all__ = ["recalled", "remember"]

# How many are remembered, and the size of the largest in bytes
_MOST = 10_000
_LARGEST = 1 << 20


def remember(content: bytes) -> None:
    """Remember that this account wrote a file with this content; forget the oldest of too many."""
    with contextlib.suppress(OSError):
        home = users_folder("state") / "runs"
        private_folder(home)
        os.close(private(str(home / _name(content)), os.O_CREAT | os.O_WRONLY))
        os.utime(home / _name(content))
        kept = sorted(home.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_MOST]:
            path.unlink(missing_ok=True)


def recalled(path: Path) -> bytes | None:
    """Return the content of a file if this account wrote it as it is now, else None."""
    with contextlib.suppress(OSError):
        content = read_regular(path, most=_LARGEST)
        return content if (users_folder("state") / "runs" / _name(content)).is_file() else None
    return None


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
