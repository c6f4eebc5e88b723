"""Folders that others name, searched without leaving anything out in silence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["refuse_unreadable"]


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
