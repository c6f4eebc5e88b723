"""Number tokens in the order of their first occurrence, before their counts are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo import DataError, tokenize

_MAX_CHARACTERS = 1 << 16
_MAX_WORDS = 1 << 20


class Characters:
    """Number characters."""

    dtype = np.dtype(np.uint16)

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers = np.zeros(0x110000, dtype=self.dtype)  # by code point
        self._known = np.zeros(0x110000, dtype=bool)

    def numbered(self, blocks: Iterator[str]) -> Iterator[np.ndarray]:
        """Yield the numbers of each block. Raises DataError if there are too many different characters."""
        for block in blocks:
            codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            if not self._known[codes].all():
                self._add(np.unique(codes[~self._known[codes]]))
            yield self._numbers[codes]

    def _add(self, new: np.ndarray) -> None:
        first, last = len(self.texts), len(self.texts) + len(new)
        if last > _MAX_CHARACTERS:
            raise DataError(
                f"this is not text: it contains more than {_MAX_CHARACTERS:,} different characters"
            )
        self._numbers[new] = np.arange(first, last)
        self._known[new] = True
        self.texts += map(chr, new.tolist())


class Words:
    """Number words, as `zoo.tokenize` splits them."""

    dtype = np.dtype(np.uint32)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> list[str]:
        return list(self._numbers)

    def numbered(self, blocks: Iterator[str]) -> Iterator[np.ndarray]:
        """Yield the numbers of the words in each block; a block's last word may continue in the next block.

        Raises DataError if there are too many different words.
        """
        rest = ""
        for block in blocks:
            words = tokenize(rest + block, "word")
            rest = words.pop()
            yield self._number(words)
        if rest:
            yield self._number([rest])

    def _number(self, words: list[str]) -> np.ndarray:
        numbers = self._numbers
        assigned = (numbers.setdefault(word, len(numbers)) for word in words)
        array = np.fromiter(assigned, dtype=self.dtype, count=len(words))
        if len(numbers) > _MAX_WORDS:
            raise DataError(
                f"the text has more than {_MAX_WORDS:,} distinct words",
                hint="use characters as tokens (--data tokens=char), or use a shorter text",
            )
        return array
