"""Store bytes by key between commands, each entry in a file that only this user can access.

`hashes`, in the cache, stores the sha256 of files that were read, by folder. `runs`, in the state directory,
stores the sha256 of each config.toml that a training run of this user wrote; only these files may contain
paths. A run directory can therefore be moved, but an edited config.toml is no longer trusted. `zoos`, in the
state directory, stores the serial of the last index that was read from each zoo, so that an older index is
noticed. If the folder cannot be written to, no entries are stored.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from zoo.files.atomic import atomic_write
from zoo.files.cache import cache_home, is_ours, private_folder, users_folder

# How many keys of a kind are remembered
_MOST = 10_000

Kind = Literal["hashes", "runs", "zoos"]


def remember(kind: Kind, key: str, content: bytes = b"") -> None:
    """Store content under a key; delete the oldest entries if there are too many."""
    with contextlib.suppress(OSError):
        place = _home(kind) / key
        private_folder(place.parent)
        with atomic_write(place, mode=0o600) as file:
            file.write(content)
        kept = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_MOST]:
            path.unlink(missing_ok=True)


def recalled(kind: Kind, key: str) -> bytes | None:
    """Return the content stored under a key; None if it is missing or another user could have written it."""
    with contextlib.suppress(OSError):
        place = _home(kind) / key
        return place.read_bytes() if is_ours(place) else None
    return None


def _home(kind: Kind) -> Path:
    return (cache_home() if kind == "hashes" else users_folder("state")) / kind
