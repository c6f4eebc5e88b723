"""Gray images of stripes, each drawn from its number."""

import hashlib

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split

CLASSES = ["upright", "lying"]


class Images:
    """`count` images (1, size, size) uint8 from number `start` on; number i has class i % 2."""

    def __init__(self, start: int, count: int, size: int) -> None:
        self.start = start
        self.count = count
        self.size = size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = index % 2
        row = (torch.arange(self.size) % 2 * (1 + (self.start + index) // 2)).to(torch.uint8)  # (S,)
        image = row.expand(self.size, self.size)
        return (image.T if label else image)[None], label


class Stripes(Dataset):
    """Two classes that a linear model can tell apart.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, *, size: int = 8) -> None:
        self.size = size

    @property
    def dims(self) -> dict[str, int]:
        return {"in_channels": 1, "image_size": self.size, "num_classes": 2}

    @property
    def preprocess(self) -> dict[str, object]:
        return {"size": self.size, "mean": [0.45], "std": [0.45], "classes": CLASSES}

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"stripes {self.size}".encode()).hexdigest()

    def split(self, name: Split) -> Images:
        start, count = {"train": (0, 256), "val": (256, 32), "test": (288, 64)}[name]
        return Images(start, count, self.size)
