"""Small synthetic images for fast checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split


class TinyImages(Dataset):
    """Noise tinted by class: 3×32×32, 10 classes, 40 training images and 10 images in each other split.

    Args:
        size: height and width of the images.
    """

    size = 32

    def __init__(self, *, size: int = 32) -> None:
        self.size = size

    @property
    def dims(self) -> Mapping[str, int]:
        return {"in_channels": 3, "image_size": self.size, "num_classes": 10}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {
            "size": self.size,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "classes": [f"class {k}" for k in range(10)],
        }

    @property
    def fingerprint(self) -> str:
        return f"{self.size:064x}"

    def split(self, name: Split) -> list[tuple[Tensor, int]]:
        first, count = {"train": (0, 40), "val": (40, 10), "test": (50, 10)}[name]
        return [(_image(number, self.size), number % 10) for number in range(first, first + count)]


class TinyTags(Dataset):
    """Noise with two tints, one above the other: 3×32×32, 10 classes, splits as in `TinyImages`.

    Args:
        size: height and width of the images.
    """

    def __init__(self, *, size: int = 32) -> None:
        self._single = TinyImages(size=size)

    @property
    def dims(self) -> Mapping[str, int]:
        return self._single.dims

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return self._single.preprocess

    @property
    def fingerprint(self) -> str:
        return self._single.fingerprint

    def split(self, name: Split) -> Sequence[tuple[Tensor, Tensor]]:
        items = self._single.split(name)
        pairs = zip(items, items[3:] + items[:3], strict=True)
        return [(_halves(one, other), _tags(a, b)) for (one, a), (other, b) in pairs]


def _halves(upper: Tensor, lower: Tensor) -> Tensor:
    middle = upper.shape[1] // 2
    return torch.cat([upper[:, :middle], lower[:, middle:]], 1)


def _tags(*labels: int) -> Tensor:
    tags = torch.zeros(10, dtype=torch.uint8)
    tags[[*labels]] = 1
    return tags


def _image(number: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    tint = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(number % 10))
    return (255 * (0.6 * tint + 0.4 * torch.rand(3, size, size, generator=generator))).to(torch.uint8)
