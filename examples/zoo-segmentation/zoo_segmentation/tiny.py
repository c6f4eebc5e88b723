"""Small synthetic images with masks, for fast checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split

CLASSES = ["ground", "water", "sky"]


class TinyMasks(Dataset):
    """Noise in three tints, one for each third of an image: 24 training images, 6 in each other split.

    Args:
        size: height and width of the images.
    """

    def __init__(self, *, size: int = 32) -> None:
        self.size = size

    @property
    def dims(self) -> Mapping[str, int]:
        """Return the channels, the size and the number of classes."""
        return {"in_channels": 3, "image_size": self.size, "num_classes": len(CLASSES)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        """Return the normalization and the names of the classes."""
        return {"size": self.size, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": CLASSES}

    @property
    def fingerprint(self) -> str:
        """Return 64 digits that depend on the size."""
        return f"{self.size:064x}"

    def split(self, name: Split) -> Sequence[tuple[Tensor, Tensor]]:
        """Return images and masks."""
        first, count = {"train": (0, 24), "val": (24, 6), "test": (30, 6)}[name]
        return [_item(number, self.size) for number in range(first, first + count)]


def _item(number: int, size: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(number)
    rows = torch.arange(size) * 3 // size  # the thirds, in an order of the image's own
    mask = torch.randperm(3, generator=draws)[rows][:, None].expand(size, size)
    tints = torch.tensor([[0.8, 0.5, 0.2], [0.1, 0.5, 0.9], [0.6, 0.8, 0.9]])
    image = 0.7 * tints[mask].permute(2, 0, 1) + 0.3 * torch.rand(3, size, size, generator=draws)
    return (255 * image).to(torch.uint8), mask.to(torch.uint8).contiguous()
