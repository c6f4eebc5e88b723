"""Encode files to an array of tokens, block by block, so that a text may be larger than memory.

A first pass numbers tokens in the order of their first occurrence and writes the numbers to a file. Then the
tokens of the training split are counted, and torchtext's Field builds the vocabulary from the counts. A
second pass maps these numbers to those of the vocabulary, starting at the end if the text is read backwards.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
import numpy as np
import torch
from torchtext.data import Field

from zoo import DataError, tokenize
from zoo.plugin import open_regular, report_work
from zoo_text.numbering import Characters, Words
from zoo_text.reading import Files, Reading

TOKENS, CORPUS = "tokens.bin", "corpus.json"
_BLOCK = 1 << 22
_LEAVE_OUT = "--data glob='**/*.txt' skips the other files in a folder"
_NUMPY = {torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32}


class Encoded(NamedTuple):
    """What is known about encoded tokens; the attributes are those of `Corpus`."""

    vocabulary: list[str]
    borders: tuple[int, int]
    specials: int
    fingerprint: str


class _Hashed(BufferedReader):
    """A file that hashes the bytes read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(cast("RawIOBase", file))
        self.digest = hashlib.sha256()

    def read1(self, size: int = -1, /) -> bytes:  # what TextIOWrapper calls
        block = super().read1(size)
        self.digest.update(block)
        return block


def encode(folder: Path, files: Files, reading: Reading, hashes: Mapping[Path, str]) -> None:
    """Write `tokens.bin` and `corpus.json`, an `Encoded`, into a folder.

    Args:
        hashes: the sha256 of each file.

    Raises DataError if a file cannot be read or has changed, or if the training split would be empty.
    """
    numbers = folder / "numbers.bin"
    numbering = Characters() if reading.tokens == "char" else Words()
    lengths = _number(numbers, files, numbering, hashes, lower=reading.lower)
    total = sum(lengths)
    if files.val or files.test:
        borders = [lengths[0], lengths[0] + lengths[1]]
    else:
        borders = [total * reading.splits[0] // 100, total * sum(reading.splits[:2]) // 100]
    parts = [[(first, last)] for first, last in pairwise([0, *borders, total])]
    if reading.fold is not None:
        whole = borders[1]
        first, last = (whole * (reading.fold + more) // reading.folds for more in (0, 1))
        parts[:2] = [(0, first), (last, whole)], [(first, last)]
        borders[0] = whole - (last - first)
    if borders[0] == 0:
        shares = " / ".join(map(str, reading.splits))
        why = "the files are empty" if lengths[0] == 0 else f"the text is too short to split {shares}"
        raise DataError(f"the training split is empty: {why}")
    texts = ["<eos>" if reading.newline_eos and text == "\n" else text for text in numbering.texts]
    vocabulary = list(reading.vocabulary)
    if not vocabulary:
        train = chain(*(_stretch(numbers, numbering.dtype, *part) for part in parts[0]))
        vocabulary = _vocabulary(_counted(texts, train), reading)
    stretches = [
        _stretch(numbers, numbering.dtype, first, last, backwards=reading.backwards)
        for places in parts
        for first, last in (reversed(places) if reading.backwards else places)
    ]
    tokens = _renumbered(chain(*stretches), texts, vocabulary)
    with (folder / TOKENS).open("wb") as file:
        digest = fingerprint(vocabulary, borders, _copied(tokens, file, total), backwards=reading.backwards)
    numbers.unlink()
    data = Encoded(vocabulary, (borders[0], borders[1]), _specials(vocabulary, reading), digest)
    (folder / CORPUS).write_bytes(msgspec.json.encode(data))


def fingerprint(
    vocabulary: Sequence[str], borders: Sequence[int], blocks: Iterable[Any], *, backwards: bool
) -> str:
    """Return the sha256 of a corpus whose tokens come in blocks."""
    head = [list(vocabulary), list(borders), *(["backwards"] if backwards else [])]
    digest = hashlib.sha256(json.dumps(head).encode())
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def token_dtype(size: int) -> torch.dtype:
    """Return the smallest integer type for a vocabulary of `size` tokens."""
    return torch.uint8 if size <= 1 << 8 else torch.int16 if size <= 1 << 15 else torch.int32


def _number(
    path: Path, files: Files, numbering: Characters | Words, hashes: Mapping[Path, str], *, lower: bool
) -> list[int]:
    """Write the numbers of all tokens; return the length of each split. A token never spans two files."""
    lengths: list[int] = []
    with path.open("wb") as out:
        for paths in (files.train, files.val, files.test):
            length = 0
            for file in paths:
                before = length
                for numbers in numbering.numbered(_blocks(file, files.encoding, hashes[file], lower=lower)):
                    numbers.tofile(out)
                    length += len(numbers)
                if length == before and len(paths) == 1:
                    raise DataError(f"{file} is empty")
            lengths.append(length)
    return lengths


def _blocks(path: Path, encoding: str, sha256: str, *, lower: bool) -> Iterator[str]:
    """Yield the text of a file, without a byte order mark."""
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        size = path.stat().st_size
        with _Hashed(open_regular(path)) as raw, TextIOWrapper(raw, encoding=codec) as file:
            while block := file.read(_BLOCK):
                report_work(f"reading {path.name}", raw.tell(), size, "bytes")
                if "\0" in block:
                    raise DataError(f"{path} is not text: it contains NUL bytes", hint=_LEAVE_OUT)
                yield block.lower() if lower else block
            if raw.digest.hexdigest() != sha256:
                raise DataError(f"{path} changed while it was being read", hint="try again")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except LookupError:
        raise DataError(
            f"unknown encoding {encoding!r}", hint="common encodings are utf-8, latin-1 and cp1252"
        ) from None
    except UnicodeError as error:
        raise DataError(
            f"{path} is not {encoding} text: {error}",
            hint=f"specify its encoding, for example with --data encoding=latin-1; {_LEAVE_OUT}",
        ) from None


def _stretch(
    path: Path, dtype: np.dtype[Any], first: int, last: int, *, backwards: bool = False
) -> Iterator[np.ndarray]:
    """Yield the numbers in a file in blocks, reading rather than mapping it to save memory."""
    starts = range(first, last, _BLOCK)
    with path.open("rb") as file:
        for start in reversed(starts) if backwards else starts:
            file.seek(start * dtype.itemsize)
            block = np.fromfile(file, dtype=dtype, count=min(_BLOCK, last - start))
            yield block[::-1] if backwards else block


def _counted(texts: Sequence[str], numbers: Iterator[np.ndarray]) -> Counter[str]:
    counts = np.zeros(len(texts), dtype=np.int64)
    for block in numbers:
        counts += np.bincount(block, minlength=len(texts))
    return Counter({text: int(n) for text, n in zip(texts, counts, strict=True) if n})


def _vocabulary(counts: Counter[str], reading: Reading) -> list[str]:
    """Return torchtext's vocabulary for the counts of the training split, special tokens first."""
    field = Field(
        tokenize=list,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<eos>" if reading.newline_eos else None,
    )
    field.build_vocab([counts], min_freq=reading.min_freq)
    if not counts.keys() & field.vocab.itos:
        raise DataError(f"no token in the training split occurs at least min_freq={reading.min_freq} times")
    return list(field.vocab.itos)


def _specials(vocabulary: Sequence[str], reading: Reading) -> int:
    """Count the tokens at the start of a vocabulary that are not text."""
    return sum(1 for _ in takewhile(lambda token: tokenize(token, reading.tokens) != [token], vocabulary))


def _renumbered(
    numbers: Iterator[np.ndarray], texts: Sequence[str], vocabulary: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yield the tokens of a text in blocks; tokens outside the vocabulary become `<unk>`, number 0."""
    by_text = {text: token for token, text in enumerate(vocabulary)}
    table = np.array([by_text.get(text, 0) for text in texts], dtype=_NUMPY[token_dtype(len(vocabulary))])
    for block in numbers:
        yield table[block]


def _copied(blocks: Iterator[np.ndarray], file: IO[bytes], total: int) -> Iterator[np.ndarray]:
    """Write blocks to a file, and yield them."""
    done = 0
    for block in blocks:
        file.write(block.data)
        yield block
        done += len(block)
        report_work("encoding", done, total, "tokens")
