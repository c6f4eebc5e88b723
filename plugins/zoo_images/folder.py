"""A user's own pictures, in one folder for each class."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import torch
from msgspec import Meta

from zoo_images.class_folders import find_pictures
from zoo_images.decoding import decoded
from zoo_images.image_set import ImageSet, ImageSplit

Share = Annotated[float, Meta(ge=0, lt=1)]


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
    One of more than 67,108,864 pixels (8192 x 8192) is refused, by its header. What was decoded is kept in
    the cache: the same pictures of one size, in the same splits, are decoded once.

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
    paths = [picture.path for picture in pictures]
    images, hashes = decoded(paths, size=size, channels=channels)  # (N, channels, size, size) uint8, N sha256
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
