"""Check output folders before anything is written to them."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import OutputError


def require_folder(out: Path) -> None:
    """Raise OutputError, before any work is done, if a path is not a folder and cannot become one."""
    nearest = next(path for path in (out, *out.parents) if os.path.exists(path))  # noqa: PTH110 - of any length
    if not nearest.is_dir():
        hint = "--out must be a new or existing folder"
        raise OutputError(f"{nearest} is a file, not a folder", hint=hint)
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{nearest} is not writable", hint="choose a different --out folder")
