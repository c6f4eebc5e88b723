"""The user's own images with several labels each, from a CSV file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from msgspec import Meta

from zoo import DataError, seed_for
from zoo.interfaces import SPLITS, Split
from zoo_images.class_names import renamed
from zoo_images.decoded_images import decoded
from zoo_images.duplicates import warn_of_duplicates
from zoo_images.folder import Share
from zoo_images.folds import Fold, Folds, TrainShare, divided
from zoo_images.image_set import ImageSet, ImageSplit, Seed, TrainSize
from zoo_images.label_tables import Labeled, find_labeled


def labeled(
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
) -> ImageSet:
    """Read images and their labels from `labels.csv`, or from `train.csv`, `val.csv` and `test.csv`.

    The column `file` or `path`, or the first column, names an image, with or without its folder and its
    suffix. The labels are in a column `labels` or `tags`, separated by spaces, or by `|`, `;` or `,` if the
    column contains one of these. Alternatively, each additional column is a class, with 1 for images that
    belong to the class and 0 for others. In `labels.csv`, a column `split` may assign images to train, val
    and test. Images without labels are allowed. The tables may also be Parquet files, such as
    `labels.parquet`. Images are read as in `folder`.

    Args:
        root: folder with the tables, and with the images in it or in subfolders.
        size: height and width in pixels.
        channels: 3 for color, 1 for gray.
        train_size: number of training images to use, a random sample that is always the same; 0 uses all.
        val_share: fraction of the images to draw for val if the tables do not define the splits.
        test_share: fraction of the images to draw for test if the tables do not define the splits.
        split_seed: random seed of the split, which depends only on the names of the images.
        fold: number of the fold, from 0, to validate on; the other folds are used for training, and the test
            split does not change. With none, there are no folds.
        folds: number of folds.
        train_share: fraction of the training images to use, stratified by the first label.
        classes: classes to rename, such as `T-shirt=T-shirt/top`; classes that get the same name are merged.

    Raises:
        DataError: a file is missing or cannot be read, or a table has the wrong format.
    """
    found_classes, splits = find_labeled(root)
    if splits.keys() == {"train"}:
        splits = _draw(splits["train"], {"val": val_share, "test": test_share}, split_seed)
    splits = divided(
        splits,
        lambda row: sorted(row.labels)[:1],
        split_seed,
        fold=fold,
        folds=folds,
        train_share=train_share,
    )
    new = dict(zip(found_classes, renamed(found_classes, classes), strict=True))
    merged = [*dict.fromkeys(new.values())]
    rows = [row for split in SPLITS for row in splits.get(split, [])]
    counts = [len(splits.get(split, [])) for split in SPLITS]
    paths = [row.path for row in rows]
    found = decoded(paths, size=size, channels=channels)
    labels = torch.zeros(len(rows), len(merged), dtype=torch.uint8)
    for number, row in enumerate(rows):
        labels[number, [merged.index(new[name]) for name in row.labels]] = 1
    files: dict[Split, list[Path]] = {}
    for split in SPLITS:
        files[split] = [row.path for row in splits.get(split, [])]
    warn_of_duplicates(
        root, files, [frozenset(new[name] for name in row.labels) for row in rows], found.hashes
    )
    parts = zip(SPLITS, found.images.split(counts), labels.split(counts), strict=True)
    made: dict[Split, ImageSplit] = {}
    for split, *part in parts:
        made[split] = ImageSplit(*part, files=files[split])
    source = (size, channels, counts, merged, labels.tolist(), [row.name for row in rows], found.hashes)
    return ImageSet(
        made,
        classes=merged,
        fingerprint=hashlib.sha256(repr(source).encode()).hexdigest(),
        statistics=found.statistics(counts[0]),
    ).limited(train_size)


def _draw(rows: list[Labeled], shares: dict[Split, float], seed: int) -> dict[Split, list[Labeled]]:
    """Draw the shares of val and test in an order given by a hash of seed and name; the rest is train."""
    left = sorted(rows, key=lambda row: seed_for(seed, "labeled", row.name))
    drawn: dict[Split, list[Labeled]] = {}
    for split, share in shares.items():
        taken = int(share * len(rows) + 0.5)
        drawn[split], left = left[:taken], left[taken:]
    if not left:
        given = " and ".join(f"{split}_share={share}" for split, share in shares.items())
        raise DataError(f"{given} leave none of the {len(rows)} images for training")
    drawn["train"] = left
    return {split: sorted(part, key=lambda row: row.name) for split, part in drawn.items()}
