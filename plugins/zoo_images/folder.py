"""A user's own pictures, in one folder for each class, decoded once by threads."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from zoo import DataError
from zoo.fetch import cache_home
from zoo.pictures import read_picture
from zoo_images.class_folders import Picture, find_pictures
from zoo_images.image_set import ImageSet, ImageSplit

Share = Annotated[float, Meta(ge=0, lt=1)]
MAX_THREADS = 8


def folder(
    *,
    root: str,
    size: Annotated[int, Meta(ge=8, le=1_024)] = 64,
    channels: Literal[1, 3] = 3,
    val_share: Share = 0.1,
    test_share: Share = 0.1,
    split_seed: int = 0,
) -> ImageSet:
    """Pictures in class folders: `root/cat/1.jpg`, or `root/train/cat/1.jpg` with `val` and `test` beside it.

    A class is called as its folder. Hidden files, and those that do not end as pictures do, are left out.
    Each picture is turned as its EXIF says, transparency laid on white, and its middle square resized.
    One of more than 67,108,864 pixels (8192 x 8192) is refused, by its header.

    Args:
        root: folder of class folders, or of `train`, `val` (or `valid`, `validation`) and `test` with class
            folders inside. If there is a `val` or `test` folder nothing is cut off from `train`.
        size: height and width in pixels.
        channels: 3 for colour, 1 for grey.
        val_share, test_share: parts of each class that are drawn for val and test.
        split_seed: of that drawing, in which a picture counts by its name.

    Raises:
        DataError: naming the first picture that cannot be read, the class folder without pictures, or the
            classes that splits do not share.
    """
    classes, found = find_pictures(root, {"val": val_share, "test": test_share}, split_seed)
    pictures = [picture for split in found.values() for picture in split]
    images, hashes = _decoded(pictures, size, channels)  # (N, channels, size, size) uint8, N sha256
    labels = torch.tensor([picture.label for picture in pictures])
    counts = [len(split) for split in found.values()]
    parts = zip(found.items(), images.split(counts), labels.split(counts), strict=True)
    source = (size, channels, counts, [picture.name for picture in pictures], hashes)
    return ImageSet(
        {
            split: ImageSplit(*part, names=[picture.name for picture in held])
            for (split, held), *part in parts
        },
        classes=classes,
        fingerprint=hashlib.sha256(repr(source).encode()).hexdigest(),
    )


def _decoded(pictures: Sequence[Picture], size: int, channels: int) -> tuple[Tensor, list[str]]:
    """Return the decoded pictures and the sha256 of each file.

    The pictures are in a file without a name, mapped into memory, which goes when they go: each is decoded
    once, and memory need not hold the set. For each thread it must hold one file, and its picture at full
    size as Pillow decodes it: for MAX_PIXELS 256 MiB, twice that for one to be turned, 1 GiB for a WebP.
    Raises DataError naming the first, by path, that cannot be read.
    """
    length = channels * size * size
    places = sorted(range(len(pictures)), key=lambda place: pictures[place].path)
    hashes = [""] * len(pictures)
    home = cache_home()
    writing = threading.Lock()
    threads = min(MAX_THREADS, os.cpu_count() or 1)  # Pillow holds no lock while it decodes and resizes
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (
            warnings.catch_warnings(action="ignore"),  # what Pillow has doubts about and can read
            tempfile.TemporaryFile(dir=home) as file,
            ThreadPoolExecutor(threads) as pool,
        ):

            def keep(place: int) -> None:
                pixels, content = read_picture(pictures[place].path, size=size, channels=channels)
                hashes[place] = hashlib.sha256(content).hexdigest()
                with writing:
                    file.seek(place * length)
                    file.write(pixels.numpy().tobytes())

            for _ in pool.map(keep, places):  # stops at the first that fails, and starts no other
                pass
            file.flush()
            mapped = np.memmap(file, np.uint8, mode="c", shape=(len(pictures), channels, size, size))
    except OSError as error:
        raise DataError(
            f"the decoded pictures cannot be kept in {home}: {error.strerror or error}",
            hint="is the disk full? $ZOO_CACHE names another folder",
        ) from None
    return torch.from_numpy(mapped), hashes
