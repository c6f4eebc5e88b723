"""Image datasets that are stored in memory as bytes and read in batches without workers."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor

from zoo import OptionError
from zoo.interfaces import Dataset, Split
from zoo.plugin import moved
from zoo_images.file_split import FileSplit
from zoo_images.kept_array import Kept

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
TrainSize = Annotated[int, Meta(ge=0, le=1_000_000_000)]
# The mean and the standard deviation of each channel, for pixels from 0 to 1
Statistics = tuple[list[float], list[float]]
# Data may take a quarter of a GPU's free memory
_SHARE = 4


class ImageSplit:
    """A map-style dataset of images, uint8 (N, C, H, W), and their labels.

    Args:
        images: the images.
        labels: int64 (N,); or uint8 (N, K), 1 for each class that an image belongs to.
        files: the file of each image, if the images are files. See `zoo.interfaces.HasFiles`.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, files: Sequence[Path] | None = None) -> None:
        self.images = images
        self.labels = labels
        self.files = files
        self._copies: dict[str, ImageSplit] = {}

    def on(self, device: str) -> ImageSplit:
        """Return this split with its tensors on a GPU, copied once, if they fit; otherwise unchanged."""
        if device not in self._copies and _fits_on(device, self.images, self.labels):
            self._copies[device] = ImageSplit(
                self.images.to(device), self.labels.to(device), files=self.files
            )
        return self._copies.get(device, self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image, (C, H, W)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, indices: Sequence[int]) -> ImageSplit:
        """Return the images with these indices as a split."""
        files = [self.files[index] for index in indices] if self.files else None
        return ImageSplit(self.images[[*indices]], self.labels[[*indices]], files=files)

    def relabeled(self, labels: Tensor) -> ImageSplit:
        """Return the same images with other labels."""
        return ImageSplit(self.images, labels, files=self.files)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        label = self.labels[index]
        return self.images[index], label if label.ndim else int(label)

    def read_batch(self, indices: Sequence[int], /) -> tuple[Tensor, Tensor]:
        chosen = moved(torch.as_tensor(indices), self.images.device)
        return self.images[chosen], self.labels[chosen]


class ImageSet(Dataset):
    """Three splits of images, the names of their classes, and each channel's mean and standard deviation.

    Args:
        splits: train, val and test; val and test may be empty.
        classes: the name of each class, in the order of the labels.
        fingerprint: sha256 of the data as used.
        statistics: mean and standard deviation of each channel of the training images, if known; required for
            files.
    """

    def __init__(
        self,
        splits: Mapping[Split, ImageSplit | FileSplit],
        *,
        classes: Sequence[str],
        fingerprint: str,
        statistics: Statistics | None = None,
    ) -> None:
        self._splits: Mapping[Split, ImageSplit | FileSplit] = {**splits}
        self._classes = list(classes)
        self._fingerprint = fingerprint
        train = splits["train"]
        self._channels, self._size, _ = train.shape
        if statistics is None:
            assert isinstance(train, ImageSplit)
            statistics = statistics_of(train.images)
        self._mean, self._std = statistics

    def limited(self, train_size: int) -> ImageSet:
        """Return the same set with only a sample of its training images; 0 keeps all.

        The sample is random but always the same, and contains all smaller samples. Raises OptionError if
        there are fewer images.
        """
        train = self._splits["train"]
        if train_size > len(train):
            at_most = f"at most {len(train):,}, the number of training images"
            raise OptionError(f"train_size must be {at_most} (got {train_size:,})")
        found = copy.copy(self)
        if train_size:
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
            sample = train.subset(sorted(order[:train_size].tolist()))
            found._splits = {**self._splits, "train": sample}
            found._fingerprint = hashlib.sha256(f"{self._fingerprint} {train_size}".encode()).hexdigest()
        return found

    @property
    def dims(self) -> Mapping[str, int]:
        return {"in_channels": self._channels, "image_size": self._size, "num_classes": len(self._classes)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {"size": self._size, "mean": self._mean, "std": self._std, "classes": self._classes}

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def split(self, name: Split) -> Any:
        """Return an `ImageSplit`, or a `FileSplit` for images that are not cached."""
        return self._splits[name]


def split_off_val(
    train: ImageSplit, test: ImageSplit, val_size: int, *, classes: Sequence[str], source: object, found: Kept
) -> ImageSet:
    """Return a set whose val split is the last `val_size` training images.

    Args:
        source: identifies the data; its repr is hashed into the fingerprint.
        found: the stored images, with the statistics of the training images.
    """
    border = len(train) - val_size
    chosen = train.images[:border]
    fact = "-".join(map(str, ("statistics", *chosen.shape)))
    return ImageSet(
        {
            "train": ImageSplit(chosen, train.labels[:border]),
            "val": ImageSplit(train.images[border:], train.labels[border:]),
            "test": test,
        },
        classes=classes,
        fingerprint=hashlib.sha256(repr(source).encode()).hexdigest(),
        statistics=found.fact(fact, lambda: statistics_of(chosen), Statistics),
    )


def statistics_of(images: Tensor) -> Statistics:
    """Return each channel's exact mean and standard deviation in [0, 1], from a histogram of byte values."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    for part in images.split(1_000):  # so a mapped file is never all in memory
        counts += values_of(part)
    return statistics_from(counts)


def values_of(images: Tensor) -> Tensor:
    """Return the histogram of byte values of each channel of images (N, C, H, W), int64 (C, 256)."""
    return torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])


def statistics_from(counts: Tensor) -> Statistics:
    """Return each channel's mean and standard deviation from its histogram of byte values, (C, 256)."""
    shares = counts / counts.sum(1, keepdim=True).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    means = (shares * values).sum(1)
    deviations = (shares * (values - means[:, None]) ** 2).sum(1).sqrt()
    return (
        [round(mean, 6) for mean in means.tolist()],
        [max(round(deviation, 6), 1e-6) for deviation in deviations.tolist()],
    )


def _fits_on(device: str, *tensors: Tensor) -> bool:
    """Return whether a device is a GPU whose free memory is at least 4 times the size of some tensors."""
    if torch.device(device).type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(tensor.nbytes for tensor in tensors) * _SHARE <= free
