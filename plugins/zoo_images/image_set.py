"""Image sets small enough to stay in memory as bytes, fetched a batch at a time without workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split


class ImageSplit:
    """Images (N, C, H, W) uint8 and labels (N,) int64 as a map-style dataset giving whole batches."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self.images[chosen], self.labels[chosen]


class ImageSet(Dataset):
    """Three splits of images, their classes, and the mean and deviation of the training split's channels.

    Args:
        splits: train, val and test; val may be empty.
        classes: names by label.
        fingerprint: sha256 of the data as used.
    """

    def __init__(
        self, splits: Mapping[Split, ImageSplit], *, classes: Sequence[str], fingerprint: str
    ) -> None:
        self._splits = dict(splits)
        self._classes = list(classes)
        self._fingerprint = fingerprint
        images = splits["train"].images
        _, self._channels, self._size, _ = images.shape
        self._mean, self._std = _statistics(images)

    @property
    def dims(self) -> Mapping[str, int]:
        return {"in_channels": self._channels, "image_size": self._size, "num_classes": len(self._classes)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {"size": self._size, "mean": self._mean, "std": self._std, "classes": self._classes}

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def split(self, name: Split) -> ImageSplit:
        return self._splits[name]


def _statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Return each channel's mean and deviation in [0, 1], exactly, from how often each byte value occurs."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means: list[float] = []
    deviations: list[float] = []
    for channel in images.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        share = counts / counts.sum()
        mean = (share * values).sum()
        means.append(round(mean.item(), 6))
        deviations.append(max(round((share * (values - mean) ** 2).sum().sqrt().item(), 6), 1e-6))
    return means, deviations
