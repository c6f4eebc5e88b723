"""Files that are whole or absent.

The order that survives a power cut: write a temporary file in the same folder, flush, fsync, rename, fsync
the folder.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

__all__ = ["atomic_write", "is_running", "sweep", "sync_folder", "temporary_beside"]

_TEMPORARY = re.compile(r"\..+\.(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.[0-9a-f]{8}\.tmp")


@contextlib.contextmanager
def atomic_write(
    path: Path, *, keep: Path | None = None, opener: Callable[[str, int], int] | None = None
) -> Generator[IO[bytes]]:
    """Open a temporary file that becomes `path` if the block succeeds and is removed if it fails.

    Args:
        keep: where to move the file that was at `path`.
        opener: as `open` takes it; `zoo.files.cache.private` is one.
    """
    temporary = temporary_beside(path)
    try:
        with open(temporary, "x+b", opener=opener) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error matters, not the clean-up
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name beside `path` that names this process, so that `sweep` can tell if it died."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def sweep(folder: Path) -> None:
    """Remove temporary files in `folder` whose writers, processes of this machine, have died."""
    for path in folder.glob(".*.tmp"):
        made = _TEMPORARY.fullmatch(path.name)
        if made and made["host"] == _host() and not is_running(int(made["pid"])):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Return whether a process of this machine is alive."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40] or "-"


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
