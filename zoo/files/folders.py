"""Check output files and folders before anything is written to them."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import OptionError, OutputError


def require_folder(out: Path) -> None:
    """Raise OutputError, before any work is done, if a path is not a folder and cannot become one."""
    nearest = next(path for path in (out, *out.parents) if os.path.exists(path))  # noqa: PTH110 - of any length
    if not nearest.is_dir():
        hint = "--out must be a new or existing folder"
        raise OutputError(f"{nearest} is a file, not a folder", hint=hint)
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{nearest} is not writable", hint="choose a different --out folder")


def require_new_file(out: Path, *, suffix: str = "") -> None:
    """Raise an error, before any work is done, if a file exists, has no folder or lacks a suffix."""
    if suffix and out.suffix != suffix:
        raise OptionError(f"out must be a {suffix} file (got {out})")
    if out.exists():
        hint = "delete the file, or choose a different one with --out"
        raise OutputError(f"{out} already exists", hint=hint)
    require_parent(out)


def require_parent(out: Path) -> None:
    """Raise OutputError, before any work is done, if a file to write is a folder, or has no folder."""
    if out.is_dir():
        raise OutputError(f"{out} is a folder, not a file")
    if not out.parent.is_dir():
        raise OutputError(f"{out} cannot be written: there is no folder {out.parent}")
