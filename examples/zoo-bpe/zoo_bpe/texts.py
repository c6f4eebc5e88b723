"""A text file in tokens of a byte-pair encoding that is learned from its first part."""

import hashlib
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import Annotated

import torch
from msgspec import Meta

from zoo import DataError
from zoo.interfaces import Dataset
from zoo.plugin import Vocabulary
from zoo_bpe.bpe import learn


class Texts(Dataset):
    """The first 80% of a text for training, and 10% each for validation and test.

    Args:
        path: UTF-8 text file; by default, the language reference that comes with Python.
        vocab_size: maximum number of tokens, unless the text has more different characters.
    """

    def __init__(self, *, path: str = "", vocab_size: Annotated[int, Meta(ge=2, le=65_536)] = 1_000) -> None:
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8") if path else "\n".join(topics.values())
        except (OSError, UnicodeError) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        ends = [0, len(text) * 8 // 10, len(text) * 9 // 10, len(text)]
        parts = [text[start:end] for start, end in pairwise(ends)]
        vocabulary, merges = learn(parts[0], vocab_size)
        self._preprocess = {"tokens": "bpe/bpe", "lower": False, "vocabulary": vocabulary, "specials": 1}
        self._preprocess |= {"merges": merges}
        encode = Vocabulary(self._preprocess).encode
        self._splits = [torch.tensor(encode(part)[0], dtype=torch.int32) for part in parts]

    @property
    def dims(self):
        """Return the size of the vocabulary."""
        return {"vocab_size": len(self._preprocess["vocabulary"])}

    @property
    def preprocess(self):
        """Return the vocabulary and the merges, as JSON data."""
        return self._preprocess

    @property
    def fingerprint(self):
        """Return the sha256 of all tokens."""
        return hashlib.sha256(torch.cat(self._splits).numpy().tobytes()).hexdigest()

    def split(self, name):
        """Return the tokens of a split."""
        return self._splits[("train", "val", "test").index(name)]
