"""What zoo remembers from one command to the next: bytes under a key, each in a file for this user alone.

Under `hashes`, in the cache, are the sha256s of files that were read, by the folder that they are in. Under
`runs`, in the state directory, are the sha256s of each config.toml that a training of this account wrote: the
file of a run may name paths, one from elsewhere may not. So a run directory may be moved, and a changed
config.toml is one from elsewhere.

Where nothing can be written, nothing is remembered.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from zoo.files.atomic import atomic_write
from zoo.files.cache import cache_home, is_ours, private_folder, users_folder

# How many keys of a kind are remembered
_MOST = 10_000

Kind = Literal["hashes", "runs"]


def remember(kind: Kind, key: str, content: bytes = b"") -> None:
    """Keep some content under a key; forget the oldest of too many."""
    with contextlib.suppress(OSError):
        place = _home(kind) / key
        private_folder(place.parent)
        with atomic_write(place, mode=0o600) as file:
            file.write(content)
        kept = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_MOST]:
            path.unlink(missing_ok=True)


def recalled(kind: Kind, key: str) -> bytes | None:
    """Return what is kept under a key; None if nothing is, or another user could have written it."""
    with contextlib.suppress(OSError):
        place = _home(kind) / key
        return place.read_bytes() if is_ours(place) else None
    return None


def _home(kind: Kind) -> Path:
    return (cache_home() if kind == "hashes" else users_folder("state")) / kind
