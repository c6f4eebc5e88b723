"""CIFAR-10 and CIFAR-100 from their binary releases.

A record consists of one or two labels and 3,072 bytes of pixels.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The hashes of CIFAR-100
come from TensorFlow Datasets (the archive) and torchvision for Ruby (its two files).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from zoo import DataError
from zoo.plugin import data_file, data_home, hashes_of
from zoo_images.archives import tar_members
from zoo_images.cifar_classes import CIFAR10, CIFAR100_COARSE, CIFAR100_FINE
from zoo_images.image_set import ImageSet, ImageSplit, TrainSize, split_off_val
from zoo_images.kept_array import Kept, kept

_FORMAT = 2
_PIXELS = 3 * 32 * 32
ValSize = Annotated[int, Meta(ge=0, le=49_999)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarRelease:
    """An archive and its image files, with their sha256.

    Attributes:
        files: the number of images and the sha256 of each file; the last file is the test split.
        labels: number of label bytes at the start of each record.
    """

    archive: str
    sha256: str
    folder: str
    files: Mapping[str, tuple[int, str]]
    labels: int

    @property
    def url(self) -> str:
        """The URL of the archive."""
        return f"https://www.cs.toronto.edu/~kriz/{self.archive}"

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return "cifar10" if self.labels == 1 else "cifar100"

    @property
    def record(self) -> int:
        """The size of an image and its labels in bytes."""
        return self.labels + _PIXELS

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of each file."""
        return {name: sha256 for name, (_, sha256) in self.files.items()}


RELEASE_10 = CifarRelease(
    archive="cifar-10-binary.tar.gz",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    folder="cifar-10-batches-bin",
    files={
        "data_batch_1.bin": (10_000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        "data_batch_2.bin": (10_000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        "data_batch_3.bin": (10_000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        "data_batch_4.bin": (10_000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        "data_batch_5.bin": (10_000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        "test_batch.bin": (10_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    },
    labels=1,
)
RELEASE_100 = CifarRelease(
    archive="cifar-100-binary.tar.gz",
    sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    folder="cifar-100-binary",
    files={
        "train.bin": (50_000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
        "test.bin": (10_000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
    },
    labels=2,
)


def cifar10(*, root: str | None = None, train_size: TrainSize = 0, val_size: ValSize = 5_000) -> ImageSet:
    """Read the 50,000 training and 10,000 test images of CIFAR-10.

    Args:
        root: folder that contains `cifar-10-batches-bin`.
        train_size: number of training images to use, a random sample that is always the same; 0 uses all.
        val_size: number of training images to use as the val split, from the end; with 0, all are used for
            training.

    Raises:
        DataError: a file is missing, or has the wrong length or sha256.
    """
    train, test, found = _read(RELEASE_10, root)
    source = (sorted(RELEASE_10.hashes.values()), val_size)
    made = split_off_val(train, test, val_size, classes=CIFAR10, source=source, found=found)
    return made.limited(train_size)


def cifar100(
    *,
    root: str | None = None,
    train_size: TrainSize = 0,
    val_size: ValSize = 5_000,
    labels: Literal["fine", "coarse"] = "fine",
) -> ImageSet:
    """Read the 50,000 training and 10,000 test images of CIFAR-100.

    Args:
        root: folder that contains `cifar-100-binary`.
        train_size: number of training images to use, a random sample that is always the same; 0 uses all.
        val_size: number of training images to use as the val split, from the end; with 0, all are used for
            training.
        labels: `"fine"` for the 100 classes, `"coarse"` for the 20 superclasses.

    Raises:
        DataError: as for `cifar10`.
    """
    train, test, found = _read(RELEASE_100, root, label={"coarse": 0, "fine": 1}[labels])
    classes = CIFAR100_FINE if labels == "fine" else CIFAR100_COARSE
    source = (sorted(RELEASE_100.hashes.values()), val_size, labels)
    made = split_off_val(train, test, val_size, classes=classes, source=source, found=found)
    return made.limited(train_size)


def _read(release: CifarRelease, root: str | None, *, label: int = 0) -> tuple[ImageSplit, ImageSplit, Kept]:
    """Return the training images, the test images, and the stored array.

    Args:
        label: which byte of a record is the label.
    """
    if folder := _folder(release, root):
        _check(release, folder)
        contents = partial(_files, release, folder)
    else:
        archive = data_file(release.archive, url=release.url, sha256=release.sha256, root=root)
        contents = partial(tar_members, archive, release.hashes)
    counts = [count for count, _ in release.files.values()]
    total, train = sum(counts), sum(counts[:-1])
    place = f"decoded/{release.name}"
    found = kept(place, (_FORMAT, release.hashes), lambda: _decode(release, contents()), what="the images")
    pixels, labels = found.content.split([total * _PIXELS, total * release.labels])
    images, labels = pixels.view(total, 3, 32, 32), labels.view(total, -1)[:, label].long()
    return ImageSplit(images[:train], labels[:train]), ImageSplit(images[train:], labels[train:]), found


def _check(release: CifarRelease, folder: Path) -> None:
    """Raise DataError for a file with a wrong length or sha256."""
    hint = f"copy it again from the archive at {release.url}"
    paths = [folder / name for name in release.files]
    for path, (count, sha256), found in zip(paths, release.files.values(), hashes_of(paths), strict=True):
        wanted, size = count * release.record, path.stat().st_size
        if size != wanted:
            message = f"{path} must contain {count:,} records of {release.record:,} bytes each, {wanted:,}"
            raise DataError(f"{message} bytes in total (got {size:,})", hint=hint)
        if found != sha256:
            message = f"{path} has the wrong content: expected sha256 {sha256}, got {found}"
            raise DataError(message, hint=hint)


def _files(release: CifarRelease, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file. Raises DataError for a file that cannot be read."""
    for name, (_, sha256) in release.files.items():
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DataError(f"{path} changed while it was being read", hint="try again")
        yield name, content


def _decode(release: CifarRelease, contents: Iterable[tuple[str, bytes]]) -> Tensor:
    """Return the pixels of all files, in the order of the release, followed by the labels."""
    counts = [count for count, _ in release.files.values()]
    starts = dict(zip(release.files, accumulate(counts, initial=0), strict=False))
    total = sum(counts)
    both = np.empty(total * release.record, np.uint8)
    pixels, labels = both[: total * _PIXELS].reshape(total, -1), both[total * _PIXELS :].reshape(total, -1)
    for name, content in contents:
        records = np.frombuffer(content, np.uint8).reshape(-1, release.record)
        rows = slice(starts[name], starts[name] + len(records))
        pixels[rows] = records[:, release.labels :]
        labels[rows] = records[:, : release.labels]
    return torch.from_numpy(both)


def _folder(release: CifarRelease, root: str | None) -> Path | None:
    """Return the folder of the files; None if there is none."""
    for home in data_home(root):
        folder = home / release.folder
        missing = [name for name in release.files if not (folder / name).is_file()]
        if not missing:
            return folder
        if folder.is_dir():
            hint = f"copy the files from the archive at {release.url}"
            raise DataError(f"{folder} lacks {', '.join(missing)}", hint=hint)
    return None
