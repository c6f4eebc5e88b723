"""A corpus: files read once, encoded with a vocabulary, and kept as a memory-mapped array of small integers.

Encoding streams, so that a text larger than memory is fine. A first pass numbers characters in the order they
appear and writes those numbers down. Then the training part is counted, torchtext's Field makes the
vocabulary of the counts, and a second pass over the numbers turns them into tokens.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchtext.data import Field

from zoo import DataError
from zoo.fetch import cache_home, sha256_of
from zoo.interfaces import Dataset, Split

_FORMAT = 1
_BLOCK = 1 << 22
_MAX_CHARACTERS = 1 << 16


class Corpus(Dataset):
    """Three stretches of one token array.

    Args:
        tokens: the whole text (N,), possibly memory-mapped.
        borders: where the train and the val split end.
        vocabulary: the tokens' texts by number, specials first.
        specials: how many of them are no characters.
        lower: whether the text was lower-cased.
        fingerprint: sha256 of tokens, vocabulary and borders.
    """

    def __init__(
        self,
        tokens: Tensor,
        *,
        borders: tuple[int, int],
        vocabulary: Sequence[str],
        specials: int,
        lower: bool,
        fingerprint: str,
    ) -> None:
        first, second = borders
        self._splits: dict[Split, Tensor] = {
            "train": tokens[:first],
            "val": tokens[first:second],
            "test": tokens[second:],
        }
        self._vocabulary = list(vocabulary)
        self._specials = specials
        self._lower = lower
        self._fingerprint = fingerprint

    @property
    def dims(self) -> Mapping[str, int]:
        return {"vocab_size": len(self._vocabulary)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {
            "tokens": "char",
            "lower": self._lower,
            "vocabulary": self._vocabulary,
            "specials": self._specials,
        }

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def split(self, name: Split) -> Tensor:
        return self._splits[name]


def read_corpus(
    train: Sequence[Path],
    *,
    val: Sequence[Path] = (),
    test: Sequence[Path] = (),
    lower: bool,
    min_freq: int,
    encoding: str = "utf-8",
) -> Corpus:
    """Return the corpus of some files, from the cache if the same bytes were encoded the same way before.

    Without `val` and `test` files the text is cut 80 / 10 / 10 by character.

    Raises DataError naming the file that is empty, unreadable or not in this encoding.
    """
    parts = {
        "format": _FORMAT,
        "files": [[sha256_of(path) for path in paths] for paths in (train, val, test)],
        "lower": lower,
        "min_freq": min_freq,
        "encoding": encoding,
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    home = cache_home() / "text" / key
    if not (home / "corpus.json").exists():
        _encode(home, (train, val, test), lower=lower, min_freq=min_freq, encoding=encoding)
    data = json.loads((home / "corpus.json").read_text(encoding="utf-8"))
    tokens = torch.from_file(
        str(home / "tokens.bin"),
        shared=False,
        size=data["length"],
        dtype=_torch_dtype(len(data["vocabulary"])),
    )
    return Corpus(
        tokens,
        borders=(data["borders"][0], data["borders"][1]),
        vocabulary=data["vocabulary"],
        specials=data["specials"],
        lower=lower,
        fingerprint=data["fingerprint"],
    )


def _encode(
    home: Path, parts: Sequence[Sequence[Path]], *, lower: bool, min_freq: int, encoding: str
) -> None:
    """Make the folder `home` in one rename, so that it is there whole or not at all."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    except OSError as error:
        raise DataError(f"the cache {home.parent} cannot be written: {error.strerror}") from None
    try:
        characters, lengths = _number(work / "numbers.bin", parts, lower=lower, encoding=encoding)
        if lengths[0] == 0:
            raise DataError("there is nothing to learn from: no training file holds a character")
        total = sum(lengths)
        borders = (
            [lengths[0], lengths[0] + lengths[1]] if sum(lengths[1:]) else [total * 8 // 10, total * 9 // 10]
        )
        numbers = work / "numbers.bin"
        vocabulary, specials = _vocabulary(characters, _stretch(numbers, borders[0]), min_freq)
        fingerprint = _renumber(
            work / "tokens.bin", _stretch(numbers, total), characters, vocabulary, borders
        )
        numbers.unlink()
        data = {
            "length": total,
            "borders": borders,
            "vocabulary": vocabulary,
            "specials": specials,
            "fingerprint": fingerprint,
        }
        (work / "corpus.json").write_text(json.dumps(data), encoding="utf-8")
        try:
            work.rename(home)
        except OSError:
            if not (home / "corpus.json").exists():  # else someone encoded the same at the same time
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _number(
    path: Path, parts: Sequence[Sequence[Path]], *, lower: bool, encoding: str
) -> tuple[str, list[int]]:
    """Write each character's number, by order of appearance; return the characters and each part's length."""
    numbers = np.zeros(0x110000, dtype=np.uint16)  # by code point
    known = np.zeros(0x110000, dtype=bool)
    characters = ""
    lengths: list[int] = []
    with path.open("wb") as out:
        for paths in parts:
            length = 0
            for text in _blocks(paths, encoding):
                block = text.lower() if lower else text
                codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
                if not known[codes].all():
                    new = np.unique(codes[~known[codes]])
                    if len(characters) + len(new) > _MAX_CHARACTERS:
                        raise DataError(
                            f"more than {_MAX_CHARACTERS:,} different characters: this is not a text"
                        )
                    numbers[new] = np.arange(len(characters), len(characters) + len(new))
                    known[new] = True
                    characters += new.tobytes().decode("utf-32-le", "surrogatepass")
                numbers[codes].tofile(out)
                length += len(codes)
            lengths.append(length)
    return characters, lengths


def _blocks(paths: Sequence[Path], encoding: str) -> Iterator[str]:
    for path in paths:
        empty = True
        try:
            with path.open(encoding=encoding) as file:
                while block := file.read(_BLOCK):
                    empty = False
                    yield block
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        except LookupError:
            raise DataError(
                f"there is no encoding {encoding!r}", hint="utf-8, latin-1 and cp1252 are common"
            ) from None
        except UnicodeError as error:
            raise DataError(
                f"{path} is not {encoding} text: {error}", hint="name its encoding: --data encoding=latin-1"
            ) from None
        if empty and len(paths) == 1:
            raise DataError(f"{path} is empty")


def _stretch(path: Path, length: int) -> Iterator[np.ndarray]:
    """Yield the first `length` numbers of a file in blocks, read and not mapped, to keep memory low."""
    with path.open("rb") as file:
        while length > 0:
            block = np.fromfile(file, dtype=np.uint16, count=min(length, _BLOCK))
            length -= len(block)
            yield block


def _vocabulary(characters: str, train: Iterator[np.ndarray], min_freq: int) -> tuple[list[str], int]:
    """Return the tokens torchtext makes of the training part's character counts, and how many are special."""
    counts = np.zeros(len(characters), dtype=np.int64)
    for block in train:
        counts += np.bincount(block, minlength=len(characters))
    field = Field(tokenize=list, unk_token="<unk>", pad_token="<pad>")
    counted = Counter({character: int(n) for character, n in zip(characters, counts, strict=True) if n})
    field.build_vocab([counted], min_freq=min_freq)
    return list(field.vocab.itos), 2


def _renumber(
    path: Path,
    numbers: Iterator[np.ndarray],
    characters: str,
    vocabulary: Sequence[str],
    borders: Sequence[int],
) -> str:
    """Write the tokens; return their fingerprint."""
    by_text = {text: token for token, text in enumerate(vocabulary)}
    dtype = {torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32}[
        _torch_dtype(len(vocabulary))
    ]
    table = np.array([by_text.get(character, 0) for character in characters], dtype=dtype)
    digest = hashlib.sha256(json.dumps([list(vocabulary), list(borders)]).encode())
    with path.open("wb") as out:
        for block in numbers:
            tokens = table[block]
            digest.update(tokens)
            tokens.tofile(out)
    return digest.hexdigest()


def _torch_dtype(size: int) -> torch.dtype:
    """Return the smallest integer type that holds `size` tokens."""
    return torch.uint8 if size <= 1 << 8 else torch.int16 if size <= 1 << 15 else torch.int32
