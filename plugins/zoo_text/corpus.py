"""A corpus: files encoded once with a vocabulary, and cached as a memory-mapped array of small integers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import torch
from torch import Tensor

from zoo import OptionError
from zoo.interfaces import Dataset, Split
from zoo.plugin import cached_files, hashes_of
from zoo_text.encoding import CORPUS, TOKENS, Encoded, encode, token_dtype
from zoo_text.reading import Files, Reading

# The version of the encoding, raised whenever the same text becomes other tokens
_FORMAT = 3


class Corpus(Dataset):
    """A text as tokens, in three consecutive splits.

    Args:
        tokens: the whole text (N,), possibly memory-mapped.
        borders: positions where the train and val splits end.
        vocabulary: the text of each token by number, special tokens first.
        specials: number of tokens at the start of the vocabulary that are not text.
        reading: how the text was read.
        fingerprint: sha256 of tokens, vocabulary and borders.
    """

    def __init__(
        self,
        tokens: Tensor,
        *,
        borders: tuple[int, int],
        vocabulary: Sequence[str],
        specials: int,
        reading: Reading,
        fingerprint: str,
    ) -> None:
        first, second = borders
        most = max(1, int(first * reading.train_share))
        if (size := reading.train_size) > most:
            at_most = f"at most {most:,}, the number of training tokens"
            raise OptionError(f"train_size must be {at_most} (got {size:,})")
        size = size or most
        self._splits: dict[Split, Tensor] = {
            "train": tokens[:size],
            "val": tokens[first:second],
            "test": tokens[second:],
        }
        self._vocabulary = list(vocabulary)
        self._specials = specials
        self._reading = reading
        self._fingerprint = fingerprint
        if reading.train_size or size < first:
            self._fingerprint = hashlib.sha256(f"{fingerprint} {size}".encode()).hexdigest()

    @property
    def dims(self) -> Mapping[str, int]:
        return {"vocab_size": len(self._vocabulary)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {
            "tokens": self._reading.tokens,
            "lower": self._reading.lower,
            "newline_eos": self._reading.newline_eos,
            "backwards": self._reading.backwards,
            "vocabulary": self._vocabulary,
            "specials": self._specials,
        }

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def split(self, name: Split) -> Tensor:
        return self._splits[name]


def read_corpus(files: Files, reading: Reading) -> Corpus:
    """Return the corpus of the given files, from the cache if they were encoded the same way before.

    Raises DataError if a file is empty, unreadable or not in its encoding, or the cache cannot be written.
    """
    parts = (files.train, files.val, files.test)
    paths = [path for part in parts for path in part]
    hashes = dict(zip(paths, hashes_of(paths), strict=True))
    later = {"train_size", "train_share"} | ({"fold", "folds"} if reading.fold is None else set[str]())
    encoding = {name: value for name, value in asdict(reading).items() if name not in later}
    files_of_parts = [[hashes[path] for path in part] for part in parts]
    stored = cached_files(
        "decoded/text",
        (_FORMAT, encoding, files.encoding, files_of_parts),
        lambda folder: encode(folder, files, reading, hashes),
        what="the encoded text",
    )
    data = msgspec.json.decode(stored[CORPUS], type=Encoded)
    return Corpus(
        torch.frombuffer(stored[TOKENS], dtype=token_dtype(len(data.vocabulary))),
        borders=data.borders,
        vocabulary=data.vocabulary,
        specials=data.specials,
        reading=reading,
        fingerprint=data.fingerprint,
    )
