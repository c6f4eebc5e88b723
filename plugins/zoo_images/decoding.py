"""Many pictures as one array of bytes: decoded once, by threads, and kept in the cache.

Memory need not hold the array, which is mapped from its file. For each thread it must hold one picture file,
and its picture at full size as Pillow decodes it: for MAX_PIXELS 256 MiB, twice that for one to be turned,
1 GiB for a WebP.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import PIL
import torch
from torch import Tensor

from zoo import DataError
from zoo.data.pictures import read_picture
from zoo.files.cache import cache_home, made_once
from zoo.files.downloads import sha256_of

MAX_THREADS = 8
_FORMAT = 1
"""Of what is decoded: another number where the same picture becomes other bytes."""
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0
"""MAP_NORESERVE, which Python has a name for from 3.13 on."""
T = TypeVar("T")


def decoded(paths: Sequence[Path], *, size: int, channels: int) -> tuple[Tensor, list[str]]:
    """Return pictures as uint8 (N, channels, size, size), and the sha256 of each file.

    Raises DataError naming the first, by path, that cannot be read.
    """
    hashes = _for_each(paths, lambda place: _sha256_of(paths[place]))
    shape = (len(paths), channels, size, size)
    source = [_FORMAT, PIL.__version__, shape, hashes]
    key = hashlib.sha256(json.dumps(source).encode()).hexdigest()[:32]
    images = made_once(
        cache_home() / "pictures" / key,
        lambda folder: _decode(folder, paths, hashes, shape),
        lambda folder: _read(folder, shape),
        what="the decoded pictures",
    )
    return images, hashes


def _sha256_of(path: Path) -> str:
    if path.exists() and not path.is_file():  # reading it might never end
        raise DataError(f"{path} cannot be read as a picture: it is no regular file but a pipe or a device")
    return sha256_of(path)


def _decode(folder: Path, paths: Sequence[Path], hashes: Sequence[str], shape: tuple[int, ...]) -> None:
    """Write all pictures, one after the other in `pixels.bin`, and its sha256."""
    _, channels, size, _ = shape
    length = channels * size * size
    writing = threading.Lock()
    with (
        warnings.catch_warnings(action="ignore"),  # what Pillow has doubts about and can read
        (folder / "pixels.bin").open("wb") as file,
    ):

        def keep(place: int) -> None:
            pixels, content = read_picture(paths[place], size=size, channels=channels)
            if hashlib.sha256(content).hexdigest() != hashes[place]:
                raise DataError(f"{paths[place]} was changed while it was read")
            with writing:
                file.seek(place * length)
                file.write(pixels.numpy().tobytes())

        _for_each(paths, keep)
        file.flush()
        os.fsync(file.fileno())
    (folder / "sha256").write_text(sha256_of(folder / "pixels.bin"), encoding="ascii")


def _read(folder: Path, shape: tuple[int, ...]) -> Tensor | None:
    """Return pictures that were decoded before, or None where there are none or not as they were written.

    They are mapped privately: what is written to them is seen nowhere else. No memory is reserved for that,
    since a set may be larger than memory.
    """
    try:
        wanted = (folder / "sha256").read_text(encoding="ascii")
        with (folder / "pixels.bin").open("rb") as file:
            flags = mmap.MAP_PRIVATE | _NO_RESERVE
            mapped = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except (OSError, ValueError):  # there is nothing, or nothing in it
        return None
    if hashlib.sha256(mapped).hexdigest() != wanted:
        return None
    return torch.frombuffer(mapped, dtype=torch.uint8).view(shape)


def _for_each(paths: Sequence[Path], work: Callable[[int], T]) -> list[T]:
    """Do some work on the place of each path, by threads; stop at the first, by path, that fails."""
    threads = min(MAX_THREADS, os.cpu_count() or 1)  # Pillow and hashlib hold no lock while they work
    order = sorted(range(len(paths)), key=paths.__getitem__)
    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(order, pool.map(work, order), strict=True))
    return [found[place] for place in range(len(paths))]
