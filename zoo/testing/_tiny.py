"""Small synthetic datasets, for checks that must be fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split

__all__ = ["TEXT", "LargerImages", "TinyImages", "TinyText", "tiny_dataset"]

# About 4,000 characters, no line of which comes twice
TEXT = "".join(f"{n} times {n + 1} is {n * (n + 1)}.\n" for n in range(1, 200))

_VOCABULARY = ("<unk>", *sorted(set(TEXT)))


class TinyImages(Dataset):
    """Noise tinted by class: 3×32×32, 10 classes, 40 training images and 10 in each other split."""

    size = 32

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
        return "0" * 64

    def split(self, name: Split) -> Sequence[tuple[Tensor, int]]:
        first, count = {"train": (0, 40), "val": (40, 10), "test": (50, 10)}[name]
        return [(_image(number, self.size), number % 10) for number in range(first, first + count)]


class LargerImages(TinyImages):
    """The same with 3×128×128, for networks whose last maps would otherwise be 1×1."""

    size = 128


class TinyText(Dataset):
    """`TEXT` by character, split 80 / 10 / 10."""

    @property
    def dims(self) -> Mapping[str, int]:
        return {"vocab_size": len(_VOCABULARY)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {"tokens": "char", "lower": False, "vocabulary": list(_VOCABULARY), "specials": 1}

    @property
    def fingerprint(self) -> str:
        return "0" * 64

    def split(self, name: Split) -> Tensor:
        tokens = torch.tensor([_VOCABULARY.index(character) for character in TEXT], dtype=torch.uint8)
        first, second = len(TEXT) * 8 // 10, len(TEXT) * 9 // 10
        return {"train": tokens[:first], "val": tokens[first:second], "test": tokens[second:]}[name]


def tiny_dataset(task: str) -> Dataset:
    """Return the tiny dataset of a task."""
    return TinyImages() if task == "classification" else TinyText()


def _image(number: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    tint = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(number % 10))
    return (255 * (0.6 * tint + 0.4 * torch.rand(3, size, size, generator=generator))).to(torch.uint8)
