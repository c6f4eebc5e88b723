"""Decode images once, with several threads, into one array of bytes, and cache the array.

The array is mapped from its file, so it may be larger than memory. Each thread needs memory for one image
file and for the full-size image that Pillow decodes: at most 256 MiB, or 512 MiB if the image is rotated, or
1 GiB for a WebP image.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import PIL
import torch
from torch import Tensor

from zoo import DataError
from zoo.plugin import cached_files, collected_faults, hashes_of, read_image, report_work
from zoo_images.image_set import Statistics, statistics_from, statistics_of, values_of
from zoo_images.kept_array import ARRAY, kept_fact

MAX_THREADS = 8
# The version of the decoder, raised whenever the same image becomes other bytes
_FORMAT = 1
T = TypeVar("T")


class Decoded(NamedTuple):
    """Decoded images.

    Attributes:
        images: uint8 (N, channels, size, size).
        hashes: the sha256 of each file.
    """

    images: Tensor
    hashes: list[str]

    def statistics(self, count: int) -> Statistics:
        """Return the mean and standard deviation of the first `count` images; the result is cached."""
        source = _source(self.images.shape, self.hashes), count
        return kept_fact("decoded/images", source, lambda: statistics_of(self.images[:count]), Statistics)


def decoded(paths: Sequence[Path], *, size: int, channels: int) -> Decoded:
    """Return images, decoding them if they are not cached.

    Raises DataError naming the first image, by path, that cannot be read.
    """
    hashes = hashes_of(paths)
    shape = (len(paths), channels, size, size)
    stored = cached_files(
        "decoded/images",
        _source(shape, hashes),
        lambda folder: _decode(folder, paths, hashes, shape),
        what="the decoded images",
    )
    return Decoded(torch.frombuffer(stored[ARRAY], dtype=torch.uint8).view(shape), hashes)


def measured(paths: Sequence[Path], *, size: int, channels: int, count: int) -> tuple[list[str], Statistics]:
    """Return the sha256 of each file, and the mean and standard deviation of the first `count` images.

    All images are decoded once, to find any that cannot be read, and are not kept; the results are cached.

    Raises DataError naming the first image, by path, that cannot be read.
    """
    hashes = hashes_of(paths)

    def measure() -> Statistics:
        counts, adding = torch.zeros(channels, 256, dtype=torch.int64), threading.Lock()

        def add(place: int) -> None:
            pixels, _ = read_image(paths[place], size=size, channels=channels)
            if place < count:
                own = values_of(torch.from_numpy(pixels)[None])
                with adding:
                    counts.add_(own)

        _for_each(paths, add, "measuring images")
        return statistics_from(counts)

    source = _source((len(paths), channels, size, size), hashes), count
    return hashes, kept_fact("decoded/statistics", source, measure, Statistics)


def _source(shape: Sequence[int], hashes: Sequence[str]) -> object:
    """Return everything that determines the pixels of decoded files."""
    return _FORMAT, PIL.__version__, tuple(shape), hashes


def readable(paths: Sequence[Path]) -> list[Path]:
    """Return the images that can be read, during a check of the data; otherwise, all images, unread."""
    faults = collected_faults()
    if faults is None:
        return [*paths]

    def fault(place: int) -> DataError | None:
        try:
            read_image(paths[place], size=8, channels=3)
        except DataError as error:
            return error
        return None

    found = zip(paths, _for_each(paths, fault, "reading images"), strict=True)
    faults |= {path: error for path, error in found if error is not None}
    return [path for path in paths if path not in faults]


def _decode(folder: Path, paths: Sequence[Path], hashes: Sequence[str], shape: tuple[int, ...]) -> None:
    """Write all images to `pixels.bin`."""
    _, channels, size, _ = shape
    length = channels * size * size
    writing = threading.Lock()
    with (folder / ARRAY).open("wb") as file:

        def keep(place: int) -> None:
            pixels, content = read_image(paths[place], size=size, channels=channels)
            if hashlib.sha256(content).hexdigest() != hashes[place]:
                raise DataError(f"{paths[place]} changed while it was being read")
            with writing:
                file.seek(place * length)
                file.write(pixels.tobytes())

        _for_each(paths, keep, "decoding images")


def _for_each(paths: Sequence[Path], work: Callable[[int], T], what: str) -> list[T]:
    """Call `work` with the position of each path, in several threads, and report progress.

    Raises the error of the first path, in alphabetical order, that fails.
    """
    threads = min(MAX_THREADS, os.cpu_count() or 1)  # Pillow and hashlib release the GIL
    order = sorted(range(len(paths)), key=lambda place: paths[place].parts)
    results: dict[int, T] = {}
    with ThreadPoolExecutor(threads) as pool:
        for place, result in zip(order, pool.map(work, order), strict=True):
            results[place] = result
            report_work(what, len(results), len(paths), "images")
    return [results[place] for place in range(len(paths))]
