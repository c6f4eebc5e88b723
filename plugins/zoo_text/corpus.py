"""A corpus: files read once, encoded with a vocabulary, and kept as a memory-mapped array of small integers.

Encoding streams, so that a text larger than memory is fine. A first pass numbers characters as they
turn up and writes those numbers down. Then the training part is counted, torchtext's Field makes the
vocabulary of the counts, and a second pass over the numbers turns them into tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

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
    vocabulary: Sequence[str] = (),
) -> Corpus:
    """Return the corpus of some files, from the cache if the same bytes were encoded the same way before.

    Without `val` and `test` files the text is cut 80 / 10 / 10 by character. With a `vocabulary`, such as a
    trained model's, its tokens are used and none are counted.

    Raises DataError naming the file that is empty, unreadable or not in this encoding, or the cache that
    cannot be written.
    """
    parts = {
        "format": _FORMAT,
        "files": [[sha256_of(path) for path in paths] for paths in (train, val, test)],
        "lower": lower,
        "min_freq": min_freq,
        "encoding": encoding,
        "vocabulary": list(vocabulary),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    home = cache_home() / "text" / key
    corpus = _cached(home, lower=lower)
    if corpus is None:
        _encode(
            home, (train, val, test), lower=lower, min_freq=min_freq, encoding=encoding, vocabulary=vocabulary
        )
        corpus = _cached(home, lower=lower)
    assert corpus is not None, home
    return corpus


def _cached(home: Path, *, lower: bool) -> Corpus | None:
    """Return what was encoded before, or None where there is nothing or it is not what was written."""
    path = home / "tokens.bin"
    try:
        data = json.loads((home / "corpus.json").read_text(encoding="utf-8"))
        dtype = _torch_dtype(len(data["vocabulary"]))
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(_BLOCK), b"")
            fingerprint = _fingerprint(data["vocabulary"], data["borders"], blocks)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if fingerprint != data["fingerprint"]:
        return None
    return Corpus(
        torch.from_file(str(path), shared=False, size=data["length"], dtype=dtype),
        borders=(data["borders"][0], data["borders"][1]),
        vocabulary=data["vocabulary"],
        specials=data["specials"],
        lower=lower,
        fingerprint=fingerprint,
    )


def _encode(
    home: Path,
    parts: Sequence[Sequence[Path]],
    *,
    lower: bool,
    min_freq: int,
    encoding: str,
    vocabulary: Sequence[str],
) -> None:
    """Make the folder `home` in one rename, so that it is there whole or not at all."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{home.name}.", dir=home.parent) as folder:
            work = Path(folder) / "corpus"
            work.mkdir()
            _write(
                work, parts, lower=lower, min_freq=min_freq, encoding=encoding, vocabulary=list(vocabulary)
            )
            shutil.rmtree(home, ignore_errors=True)  # if it is there it is damaged
            with contextlib.suppress(OSError):  # someone who encoded the same at the same time was first
                work.rename(home)
    except OSError as error:
        raise DataError(
            f"the encoded text cannot be written to {home.parent}: {error.strerror or error}",
            hint="is the disk full? $ZOO_CACHE names another folder",
        ) from None


def _write(
    work: Path,
    parts: Sequence[Sequence[Path]],
    *,
    lower: bool,
    min_freq: int,
    encoding: str,
    vocabulary: list[str],
) -> None:
    numbers = work.parent / "numbers.bin"
    characters, lengths = _number(numbers, parts, lower=lower, encoding=encoding)
    if lengths[0] == 0:
        raise DataError("there is nothing to learn from: no training file holds a character")
    total = sum(lengths)
    borders = [total * 8 // 10, total * 9 // 10]
    if sum(lengths[1:]):
        borders = [lengths[0], lengths[0] + lengths[1]]
    if not vocabulary:
        vocabulary = _vocabulary(characters, _stretch(numbers, borders[0]), min_freq)
    tokens = _renumber(_stretch(numbers, total), characters, vocabulary)
    with (work / "tokens.bin").open("wb") as file:
        fingerprint = _fingerprint(vocabulary, borders, _copied(tokens, file))
        _sync(file)
    data = {
        "length": total,
        "borders": borders,
        "vocabulary": vocabulary,
        "specials": sum(len(token) > 1 for token in vocabulary),
        "fingerprint": fingerprint,
    }
    with (work / "corpus.json").open("w", encoding="utf-8") as file:
        json.dump(data, file)
        _sync(file)


def _fingerprint(vocabulary: Sequence[str], borders: Sequence[int], blocks: Iterable[Any]) -> str:
    digest = hashlib.sha256(json.dumps([list(vocabulary), list(borders)]).encode())
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _copied(blocks: Iterator[np.ndarray], file: IO[bytes]) -> Iterator[np.ndarray]:
    """Yield blocks, writing each on its way."""
    for block in blocks:
        file.write(memoryview(block))
        yield block


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _number(
    path: Path, parts: Sequence[Sequence[Path]], *, lower: bool, encoding: str
) -> tuple[str, list[int]]:
    """Write each character's number, given as it turns up; return the characters and each part's length."""
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


def _vocabulary(characters: str, train: Iterator[np.ndarray], min_freq: int) -> list[str]:
    """Return the tokens torchtext makes of the training part's character counts, specials first."""
    counts = np.zeros(len(characters), dtype=np.int64)
    for block in train:
        counts += np.bincount(block, minlength=len(characters))
    field = Field(tokenize=list, unk_token="<unk>", pad_token="<pad>")
    counted = Counter({character: int(n) for character, n in zip(characters, counts, strict=True) if n})
    field.build_vocab([counted], min_freq=min_freq)
    return list(field.vocab.itos)


def _renumber(
    numbers: Iterator[np.ndarray], characters: str, vocabulary: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yield the tokens of a text, block by block; what the vocabulary lacks is `<unk>`, number 0."""
    by_text = {text: token for token, text in enumerate(vocabulary)}
    dtype = {torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32}[
        _torch_dtype(len(vocabulary))
    ]
    table = np.array([by_text.get(character, 0) for character in characters], dtype=dtype)
    for block in numbers:
        yield table[block]


def _torch_dtype(size: int) -> torch.dtype:
    """Return the smallest integer type that holds `size` tokens."""
    return torch.uint8 if size <= 1 << 8 else torch.int16 if size <= 1 << 15 else torch.int32
