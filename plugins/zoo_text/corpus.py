"""A corpus: files encoded once with a vocabulary, and cached as a memory-mapped array of small integers."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import OptionError
from zoo.interfaces import Dataset, Split
from zoo.plugin import cache_home, made_once, mapped, remembered
from zoo_text.encoding import checksum_of, encode, token_dtype
from zoo_text.reading import Files, Reading

# The version of the encoding, raised whenever the same text becomes other tokens
_FORMAT = 3
# Bytes of tokens that are read into memory; more are mapped from their file
_IN_MEMORY = 1 << 26


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
        if (size := reading.train_size) > first:
            at_most = f"at most {first:,}, the number of training tokens"
            raise OptionError(f"train_size must be {at_most} (got {size:,})")
        self._splits: dict[Split, Tensor] = {
            "train": tokens[: size or first],
            "val": tokens[first:second],
            "test": tokens[second:],
        }
        self._vocabulary = list(vocabulary)
        self._specials = specials
        self._reading = reading
        self._fingerprint = fingerprint
        if size:
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
    with remembered(paths) as known:
        hashes = {path: known.of(path) for path in paths}
    encoding = {name: value for name, value in asdict(reading).items() if name != "train_size"}
    source = encoding | {
        "encoding": files.encoding,
        "format": _FORMAT,
        "files": [[hashes[path] for path in paths] for paths in parts],
    }
    key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:32]
    home = cache_home() / "decoded" / "text" / key
    return made_once(
        home,
        lambda folder: encode(folder, files, reading, hashes),
        lambda folder: _cached(folder, reading),
        what="the encoded text",
    )


def _cached(home: Path, reading: Reading) -> Corpus | None:
    """Return the corpus that was encoded into a folder; None if it is missing or damaged.

    The tokens are verified again only if their file has changed since the last verification.
    """
    try:
        data = json.loads((home / "corpus.json").read_text(encoding="utf-8"))
        stored = _stored(home / "tokens.bin")
        tokens = torch.frombuffer(stored, dtype=token_dtype(len(data["vocabulary"])))
        intact = data.pop("checksum", "") == checksum_of(data)
        with remembered([home / "tokens.bin"]) as known:
            whole = intact and known.of(home / "tokens.bin") == data["sha256"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not whole or len(tokens) != data["length"]:
        return None
    return Corpus(
        tokens,
        borders=(data["borders"][0], data["borders"][1]),
        vocabulary=data["vocabulary"],
        specials=data["specials"],
        reading=reading,
        fingerprint=data["fingerprint"],
    )


def _stored(path: Path) -> bytearray | mmap.mmap:
    """Return the content of a file as writable memory, which torch expects; a large file is mapped."""
    return bytearray(path.read_bytes()) if path.stat().st_size <= _IN_MEMORY else mapped(path)
