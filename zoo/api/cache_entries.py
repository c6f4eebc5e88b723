"""List and remove cache entries, without importing torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from zoo.config.near_names import did_you_mean
from zoo.errors import UnknownName
from zoo.files.cache import KINDS, cache_home


def list_cache() -> list[dict[str, Any]]:
    """List the cache entries, each with its `kind`, `name`, `path`, `files` and `bytes`.

    The kinds are `downloads`, `decoded` (images and text), `synthesized` (images) and `hashes` (SHA-256
    hashes of files that zoo has read). Each entry is named after a dataset, folder or file. Raises DataError
    if no cache folder is available, and OSError if the folder cannot be read.
    """
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        # A link is removed, and not what it leads to
        alone = kind == "hashes" or (cache_home() / kind).is_symlink()
        for path in sorted(cache_home().glob(kind if alone else f"{kind}/[!.]*")):
            inside = () if path.is_symlink() else path.rglob("*")
            files = [file for file in (path, *inside) if file.is_symlink() or not file.is_dir()]
            sizes = [file.lstat().st_size for file in files]
            row = {"kind": kind, "name": path.name, "files": len(sizes), "bytes": sum(sizes)}
            rows.append(row | {"path": str(path)})
    return rows


def clear_cache(*names: str) -> list[dict[str, Any]]:
    """Remove cache entries, and return them in the same form as `list_cache`.

    Other files in the cache folder are not removed. A training run in progress can continue to read the files
    that it has open.

    Args:
        names: kinds or names to remove; by default, all entries.

    Raises UnknownName if a name does not match any entry, and OSError if an entry cannot be removed.
    """
    rows = list_cache()
    known = {*KINDS, *(row["name"] for row in rows)}
    for name in sorted({*names} - known):
        message = f"unknown cache entry {name!r}{did_you_mean(name, known)}"
        raise UnknownName(message, hint="`zoo cache` lists the cached data")
    chosen = [row for row in rows if not names or {row["kind"], row["name"]} & {*names}]
    for path in (Path(row["path"]) for row in chosen):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return chosen
