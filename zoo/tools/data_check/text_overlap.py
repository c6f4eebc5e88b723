"""Find passages of a text that also occur in another text, by n-grams."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Overlap(NamedTuple):
    """The passages of a text that also occur in another text.

    Attributes:
        share: fraction of the text's tokens that are in such a passage.
        passages: the start and the length of each passage, the longest first.
    """

    share: float
    passages: list[tuple[int, int]]


def shared_passages(tokens: NDArray[Any], others: NDArray[Any], *, ngram: int) -> Overlap:
    """Find all passages of `tokens` (N,) whose n-grams all occur in `others` (M,).

    Neighboring n-grams are joined, so a passage of more than `ngram` tokens may consist of several parts of
    the other text.

    Source: Brown et al. 2020, Language Models are Few-Shot Learners, appendix C, arXiv 2005.14165.
    """
    if min(len(tokens), len(others)) < ngram:
        return Overlap(0.0, [])
    codes = np.random.default_rng(0).integers(
        2**64, size=int(max(tokens.max(), others.max())) + 1, dtype="u8"
    )
    shared = np.isin(_hashes(tokens, codes, ngram), _hashes(others, codes, ngram))
    ends = np.zeros(len(tokens) + 1, np.int64)  # +1 where an n-gram starts, -1 behind its end
    ends[: len(shared)] += shared
    ends[ngram:] -= shared
    covered = np.concatenate([[False], np.cumsum(ends[:-1]) > 0, [False]])
    borders = np.flatnonzero(covered[1:] != covered[:-1]).reshape(-1, 2)
    passages = [(int(start), int(end - start)) for start, end in borders]
    return Overlap(float(covered.sum() / len(tokens)), sorted(passages, key=lambda each: (-each[1], each[0])))


def _hashes(tokens: NDArray[Any], codes: NDArray[np.uint64], ngram: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each n-gram, (N - n + 1,): a polynomial in random codes of its tokens."""
    values, count = codes[tokens], len(tokens) - ngram + 1
    hashes = np.zeros(count, np.uint64)
    for place in range(ngram):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + values[place : place + count]
    return hashes
