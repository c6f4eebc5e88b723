"""What zoo keeps in its cache, and how to remove it. Torch-free."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import OutputError, UnknownName, did_you_mean
from zoo.files.atomic import sweep
from zoo.files.cache import KINDS, cache_home

__all__ = ["clear_cache", "list_cache"]


def list_cache() -> list[dict[str, Any]]:
    """Return what is kept in the cache: rows of `kind`, `name`, `path`, and the number of `files` and `bytes`.

    The kinds are `downloads`; `decoded` images and texts; `synthesized` images; and `hashes`, the sha256 of
    files that were read. Names are those of data sets or of files.

    Raises DataError if the user has no cache.
    """
    rows: list[dict[str, Any]] = []
    for kind, path in _places():
        files = [path] if not path.is_dir() else [file for file in path.rglob("*") if not file.is_dir()]
        row = {"kind": kind, "name": path.name, "files": len(files), "path": str(path)}
        if files:
            rows.append(row | {"bytes": sum(file.lstat().st_size for file in files)})
    return rows


def clear_cache(*names: str) -> list[dict[str, Any]]:
    """Remove what is kept in the cache, and return its rows as `list_cache` does.

    Nothing else in the folder is touched, and nothing that a running process is just writing. What a
    training has open stays readable until it ends.

    Args:
        names: kinds or names to remove; by default everything.

    Raises:
        UnknownName: nothing is kept under a name.
        OutputError: something cannot be removed.
    """
    rows = list_cache()
    known = {*KINDS, *(row["name"] for row in rows)}
    for name in names:
        if name not in known:
            message = f"nothing named {name!r} is kept in the cache{did_you_mean(name, known)}"
            raise UnknownName(message, hint="`zoo cache` lists what is kept")
    chosen = [row for row in rows if not names or {row["kind"], row["name"]} & {*names}]
    for row in chosen:
        try:
            _remove(Path(row["path"]))
        except OSError as error:
            raise OutputError(f"{error.filename} cannot be removed: {error.strerror}") from None
    return chosen


def _places() -> Iterator[tuple[str, Path]]:
    """Yield the kind and the path of each download and each set of data; all hashes are in one place."""
    for kind in KINDS:
        home = cache_home() / kind
        inside = sorted(home.iterdir()) if home.is_dir() else []
        if kind == "hashes":
            inside = [home] if inside else []
        yield from ((kind, path) for path in inside if not path.name.startswith("."))


def _remove(path: Path) -> None:
    """Remove a file, or all in a folder but temporary files that are being written."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    sweep(path)
    for inner in [entry for entry in path.iterdir() if not entry.name.startswith(".")]:
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner)
        else:
            inner.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # one of those is in it
        path.rmdir()
