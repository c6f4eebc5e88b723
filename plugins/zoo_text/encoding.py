"""Files to an array of tokens, in streams, so that a text larger than memory is fine.

A first pass numbers tokens as they turn up and writes those numbers down. Then the training part is counted,
torchtext's Field makes the vocabulary of the counts, and a second pass over the numbers, from the end for a
model that reads backwards, turns them into the vocabulary's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torchtext.data import Field

from zoo import DataError, tokenize
from zoo_text.numbering import Characters, Words
from zoo_text.reading import Reading

_BLOCK = 1 << 22
_LEAVE_OUT = "--data glob='**/*.txt' leaves other files of a folder out"
_NUMPY = {torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32}


def encode(folder: Path, parts: Sequence[Sequence[Path]], reading: Reading) -> None:
    """Write `tokens.bin` and `corpus.json`: the files of train, val and test, or a text of train's to cut.

    Raises DataError naming the file that cannot be read, and for a text there is nothing to learn from.
    """
    numbers = folder / "numbers.bin"
    numbering = Characters() if reading.tokens == "char" else Words()
    lengths = _number(numbers, parts, numbering, reading)
    total = sum(lengths)
    if parts[1] or parts[2]:
        borders = [lengths[0], lengths[0] + lengths[1]]
    else:
        borders = [total * reading.splits[0] // 100, total * sum(reading.splits[:2]) // 100]
    if borders[0] == 0:
        cut = " / ".join(map(str, reading.splits))
        why = "no training file holds a character" if lengths[0] == 0 else f"too short a text to cut {cut}"
        raise DataError(f"there is nothing to learn from: {why}")
    texts = ["<eos>" if reading.newline_eos and text == "\n" else text for text in numbering.texts]
    vocabulary = list(reading.vocabulary)
    if not vocabulary:
        train = _stretch(numbers, numbering.dtype, 0, borders[0])
        vocabulary = _vocabulary(_counted(texts, train), reading)
    stretches = [
        _stretch(numbers, numbering.dtype, first, last, backwards=reading.backwards)
        for first, last in pairwise([0, *borders, total])
    ]
    tokens = _renumbered(chain(*stretches), texts, vocabulary)
    with (folder / "tokens.bin").open("wb") as file:
        digest = fingerprint(vocabulary, borders, _copied(tokens, file), backwards=reading.backwards)
        _sync(file)
    numbers.unlink()
    data = {
        "length": total,
        "borders": borders,
        "vocabulary": vocabulary,
        "specials": _specials(vocabulary, reading),
        "fingerprint": digest,
    }
    with (folder / "corpus.json").open("w", encoding="utf-8") as file:
        json.dump(data, file)
        _sync(file)


def fingerprint(
    vocabulary: Sequence[str], borders: Sequence[int], blocks: Iterable[Any], *, backwards: bool
) -> str:
    """Return the sha256 of a corpus, its tokens given in blocks."""
    head = [list(vocabulary), list(borders), *(["backwards"] if backwards else [])]
    digest = hashlib.sha256(json.dumps(head).encode())
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def token_dtype(size: int) -> torch.dtype:
    """Return the smallest integer type that holds `size` tokens."""
    return torch.uint8 if size <= 1 << 8 else torch.int16 if size <= 1 << 15 else torch.int32


def _number(
    path: Path, parts: Sequence[Sequence[Path]], numbering: Characters | Words, reading: Reading
) -> list[int]:
    """Write the numbers of all tokens; return each part's length. No token spans two files."""
    lengths: list[int] = []
    with path.open("wb") as out:
        for paths in parts:
            length = 0
            for file in paths:
                before = length
                for numbers in numbering.numbered(_blocks(file, reading)):
                    numbers.tofile(out)
                    length += len(numbers)
                if length == before and len(paths) == 1:
                    raise DataError(f"{file} is empty")
            lengths.append(length)
    return lengths


def _blocks(path: Path, reading: Reading) -> Iterator[str]:
    try:
        with path.open(encoding=reading.encoding) as file:
            while block := file.read(_BLOCK):
                if "\0" in block:
                    raise DataError(f"{path} is not text: it holds zero bytes", hint=_LEAVE_OUT)
                yield block.lower() if reading.lower else block
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except LookupError:
        raise DataError(
            f"there is no encoding {reading.encoding!r}", hint="utf-8, latin-1 and cp1252 are common"
        ) from None
    except UnicodeError as error:
        raise DataError(
            f"{path} is not {reading.encoding} text: {error}",
            hint=f"name its encoding: --data encoding=latin-1; {_LEAVE_OUT}",
        ) from None


def _stretch(
    path: Path, dtype: np.dtype[Any], first: int, last: int, *, backwards: bool = False
) -> Iterator[np.ndarray]:
    """Yield numbers of a file in blocks, read and not mapped, to keep memory low; backwards, last first."""
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
    """Return the tokens torchtext makes of the training part's counts, specials first."""
    field = Field(
        tokenize=list,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<eos>" if reading.newline_eos else None,
    )
    field.build_vocab([counts], min_freq=reading.min_freq)
    if not counts.keys() & field.vocab.itos:
        raise DataError(f"no token of the training part occurs min_freq={reading.min_freq} times")
    return list(field.vocab.itos)


def _specials(vocabulary: Sequence[str], reading: Reading) -> int:
    """Count the tokens at the beginning that no text is cut into."""
    return sum(1 for _ in takewhile(lambda token: tokenize(token, reading.tokens) != [token], vocabulary))


def _renumbered(
    numbers: Iterator[np.ndarray], texts: Sequence[str], vocabulary: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yield the tokens of a text, block by block; what the vocabulary lacks is `<unk>`, number 0."""
    by_text = {text: token for token, text in enumerate(vocabulary)}
    table = np.array([by_text.get(text, 0) for text in texts], dtype=_NUMPY[token_dtype(len(vocabulary))])
    for block in numbers:
        yield table[block]


def _copied(blocks: Iterator[np.ndarray], file: IO[bytes]) -> Iterator[np.ndarray]:
    """Yield blocks, writing each on its way."""
    for block in blocks:
        file.write(block.data)
        yield block


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
