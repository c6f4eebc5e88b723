"""An array of bytes in a folder of the cache, mapped from its file, which is read whole once, as a check."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoo.files.cache import mapped, private
from zoo.files.downloads import sha256_of
from zoo.files.hashes import remembered

__all__ = ["ARRAY", "kept_array", "seal"]

ARRAY = "pixels.bin"


def seal(folder: Path) -> None:
    """Write the sha256 of `pixels.bin` beside it."""
    with open(folder / "sha256", "w", encoding="ascii", opener=private) as file:
        file.write(sha256_of(folder / ARRAY))


def kept_array(folder: Path, length: int) -> Tensor | None:
    """Return `pixels.bin`, uint8 (length,), or None if it is missing or damaged.

    It may be larger than memory, and several processes share what they have read of it.
    """
    try:
        wanted = (folder / "sha256").read_text(encoding="ascii")
        content = mapped(folder / ARRAY)
    except (OSError, ValueError):  # missing, or empty
        return None
    with remembered([folder / ARRAY]) as known:
        if known.of(folder / ARRAY) != wanted or len(content) != length:
            return None
    return torch.frombuffer(content, dtype=torch.uint8)
