"""A small synthetic text for fast checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.interfaces import Dataset, Split

# About 4,000 characters, no line of which comes twice
TEXT = "".join(f"{n} times {n + 1} is {n * (n + 1)}.\n" for n in range(1, 200))

_VOCABULARY = ("<unk>", *sorted(set(TEXT)))


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
