"""Data of a few tokens or images, in memory, and a network that reads pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.interfaces import Dataset, Split

__all__ = ["FakeImages", "FakeText", "Pixels"]


class FakeText(Dataset):
    """Tokens by split; token number n is the n-th letter after two specials."""

    def __init__(self, splits: Mapping[Split, Tensor], vocab_size: int) -> None:
        self._splits = splits
        self._size = vocab_size

    @property
    def dims(self) -> Mapping[str, int]:
        return {"vocab_size": self._size}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        letters = [chr(ord("a") + n) for n in range(self._size - 2)]
        return {"tokens": "char", "lower": False, "vocabulary": ["<unk>", "<pad>", *letters], "specials": 2}

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            repr([tokens.tolist() for tokens in self._splits.values()]).encode()
        ).hexdigest()

    def split(self, name: Split) -> Tensor:
        return self._splits[name]


class FakeImages(Dataset):
    """Images (N, 3, S, S) by split, fetched one by one."""

    def __init__(self, splits: Mapping[Split, Sequence[tuple[Tensor, int]]], size: int) -> None:
        self._splits = splits
        self._size = size

    @property
    def dims(self) -> Mapping[str, int]:
        return {"in_channels": 3, "image_size": self._size, "num_classes": 4}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
        return {"size": self._size, "mean": mean, "std": std, "classes": ["a", "b", "c", "d"]}

    @property
    def fingerprint(self) -> str:
        return "0" * 64

    def split(self, name: Split) -> Sequence[tuple[Tensor, int]]:
        return self._splits[name]


class Pixels(nn.Module):
    """Features are the pixels themselves: four numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images.flatten(1)))
