"""CIFAR-10 from its binary release: each record is a label byte and 3,072 bytes of channels, rows, columns.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta

from zoo import DataError
from zoo.fetch import cache_home, data_file, data_home, tar_members, verified
from zoo_images.image_set import ImageSet, ImageSplit

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
HASHES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32


def cifar10(*, root: str | None = None, val_size: Annotated[int, Meta(ge=0, le=49_999)] = 5_000) -> ImageSet:
    """50,000 training and 10,000 test images.

    Args:
        root: folder that holds `cifar-10-batches-bin`.
        val_size: how many training images, the last ones, are kept apart for choosing between models. With 0
            training uses all and the test split is reported at the end.
    """
    folder = _folder(root)
    paths = [verified(folder / name, sha256) for name, sha256 in HASHES.items()]
    images, labels = (torch.cat(parts) for parts in zip(*map(_read, paths[:-1]), strict=True))
    border = len(images) - val_size
    return ImageSet(
        {
            "train": ImageSplit(images[:border], labels[:border]),
            "val": ImageSplit(images[border:], labels[border:]),
            "test": ImageSplit(*_read(paths[-1])),
        },
        classes=CLASSES,
        fingerprint=hashlib.sha256(repr((sorted(HASHES.values()), val_size)).encode()).hexdigest(),
    )


def _folder(root: str | None) -> Path:
    """Return the folder of the batches, unpacking the archive into the cache if need be."""
    cache = cache_home()
    for home in data_home(root):
        missing = [name for name in HASHES if not (home / FOLDER / name).is_file()]
        if not missing:
            return home / FOLDER
        if (
            home / FOLDER
        ).is_dir() and home != cache:  # in the cache an interrupted unpacking is gone on with
            raise DataError(f"{home / FOLDER} lacks {', '.join(missing)}", hint=f"it is part of {URL}")
    archive = data_file(ARCHIVE, url=URL, sha256=ARCHIVE_SHA256, root=root)
    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    tar_members(archive, HASHES, folder)
    return folder


def _read(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    records = torch.from_numpy(np.fromfile(path, dtype=np.uint8)).view(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()
