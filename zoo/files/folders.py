"""Folders that users name, to read all of or to write to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from zoo.errors import OutputError

__all__ = ["refuse_unreadable", "require_folder"]


def refuse_unreadable(folder: Path, matters: Callable[[tuple[str, ...]], bool] | None = None) -> None:
    """Raise OSError for a folder inside another that cannot be read, which `Path.glob` would leave out.

    Args:
        folder: searched itself, and all visible folders in it. Links are not followed, as `**` does not.
        matters: returns whether a folder inside, as its relative parts, is searched; by default all are.
    """

    def refuse(error: OSError) -> None:
        if matters is None or matters(Path(error.filename).relative_to(folder).parts):
            raise error

    for _, folders, _ in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]


def require_folder(out: Path) -> None:
    """Raise OutputError, before any work is done, if a path is not a folder and cannot become one."""
    nearest = next(path for path in (out, *out.parents) if os.path.exists(path))  # noqa: PTH110 - of any length
    if not nearest.is_dir():
        hint = "--out must name a folder, new or existing"
        raise OutputError(f"{nearest} is a file, not a folder", hint=hint)
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{nearest} is not writable", hint="choose another --out folder")
