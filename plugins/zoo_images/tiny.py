"""Small made-up images, for checks that must be fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split


class TinyImages(Dataset):
    """Noise tinted by class: 3×32×32, 10 classes, 40 training images and 10 in each other split.

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

    def split(self, name: Split) -> Sequence[tuple[Tensor, int]]:
        first, count = {"train": (0, 40), "val": (40, 10), "test": (50, 10)}[name]
        return [(_image(number, self.size), number % 10) for number in range(first, first + count)]


def _image(number: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    tint = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(number % 10))
    return (255 * (0.6 * tint + 0.4 * torch.rand(3, size, size, generator=generator))).to(torch.uint8)
