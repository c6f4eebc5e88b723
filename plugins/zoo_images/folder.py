"""The user's own images with one class each, from class folders or a CSV file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from msgspec import Meta

from zoo import DataError, OptionError
from zoo.interfaces import Split
from zoo_images.class_folders import LAYOUT, existing, find_images
from zoo_images.class_names import renamed
from zoo_images.decoded_images import decoded, measured
from zoo_images.duplicates import warn_of_duplicates
from zoo_images.file_split import FileSplit
from zoo_images.folds import Fold, Folds, TrainShare, divided
from zoo_images.image_set import ImageSet, ImageSplit, Seed, TrainSize
from zoo_images.label_tables import find_classified, has_classes

Share = Annotated[float, Meta(ge=0, lt=1)]


def folder(
    *,
    root: str,
    size: Annotated[int, Meta(ge=8, le=1_024)] = 64,
    channels: Literal[1, 3] = 3,
    train_size: TrainSize = 0,
    val_share: Share = 0.1,
    test_share: Share = 0.1,
    split_seed: Seed = 0,
    fold: Fold = None,
    folds: Folds = 5,
    train_share: TrainShare = 1.0,
    classes: Sequence[str] = (),
    cache: bool = True,
) -> ImageSet:
    """Read images in class folders: `root/cat/1.jpg`, or `root/train/cat/1.jpg` next to `val` and `test`.

    Alternatively, `root/labels.csv` lists the images, with the columns `file` (or `path`) and `label` and,
    optionally, `split`, or `train.csv`, `val.csv` and `test.csv` do. Then the images may be in any
    subfolders. The tables may also be Parquet files, such as `labels.parquet`.

    Classes are named after their folders. Hidden files and files without an image suffix are skipped. Each
    image is rotated according to its EXIF orientation, transparency becomes white, and the center square is
    resized. Images of more than 67,108,864 pixels (8192 x 8192) are rejected. Decoded images are cached. A
    warning reports files that are in two splits or in two classes.

    Args:
        root: folder of class folders, or of `train`, `val` (or `valid`, `validation`) and `test` with class
            folders inside. If there is a `val` or a `test` folder, `train` is not split.
        size: height and width in pixels.
        channels: 3 for color, 1 for gray.
        train_size: number of training images to use, a random sample that is always the same; 0 uses all.
        val_share: fraction of each class to draw for val if there is no `val` or `test` folder.
        test_share: fraction of each class to draw for test if there is no `val` or `test` folder.
        split_seed: random seed of the split, which depends only on the names of the images.
        fold: number of the fold, from 0, to validate on; the other folds are used for training, and the test
            split does not change. With none, there are no folds.
        folds: number of folds.
        train_share: fraction of each class of the training images to use.
        classes: classes to rename, such as `T-shirt=T-shirt/top`; classes that get the same name are merged.
        cache: keep the decoded images on disk. If false, worker processes decode the images again in each
            epoch, for datasets whose decoded images do not fit on the disk.

    Raises:
        DataError: an image cannot be read, a class has no images, or the splits have different classes.
    """
    shares: dict[Split, float] = {"val": val_share, "test": test_share}
    if has_classes(home := existing(root, LAYOUT)):
        found_classes, splits = find_classified(home, shares, split_seed)
    else:
        found_classes, splits = find_images(root, shares, split_seed)
    splits = divided(
        splits, lambda file: file.label, split_seed, fold=fold, folds=folds, train_share=train_share
    )
    lost = {file.label for file in splits["val"]} - {file.label for file in splits["train"]}
    if fold is not None and lost:
        alone = found_classes[min(lost)]
        raise DataError(f"fold={fold} leaves none of the images of class {alone!r} for training")
    names = renamed(found_classes, classes)
    merged = [*dict.fromkeys(names)]
    if len(merged) < 2 <= len(names) and any(shares.values()):
        raise OptionError(f"classes merges all classes into {merged[0]!r}")
    files = [file for split in splits.values() for file in split]
    paths = [file.path for file in files]
    labels = torch.tensor([merged.index(names[file.label]) for file in files])
    counts = [len(split) for split in splits.values()]
    if cache:
        found = decoded(paths, size=size, channels=channels)
        hashes, statistics, images = found.hashes, found.statistics(counts[0]), found.images.split(counts)
    else:
        hashes, statistics = measured(paths, size=size, channels=channels, count=counts[0])
        images = [None] * len(counts)
    by_split: dict[Split, list[Path]] = {}
    for split, held in splits.items():
        by_split[split] = [file.path for file in held]
    warn_of_duplicates(root, by_split, labels.tolist(), hashes)
    made: dict[Split, ImageSplit | FileSplit] = {}
    for (split, those), part, own in zip(by_split.items(), images, labels.split(counts), strict=True):
        shape = (channels, size, size)
        made[split] = FileSplit(those, own, shape) if part is None else ImageSplit(part, own, files=those)
    source: tuple[object, ...] = (size, channels, counts, [file.name for file in files], hashes)
    if has_classes(home) or classes:  # a file name does not imply a class
        source += (merged, labels.tolist())
    fingerprint = hashlib.sha256(repr(source).encode()).hexdigest()
    whole = ImageSet(made, classes=merged, fingerprint=fingerprint, statistics=statistics)
    return whole.limited(train_size)
