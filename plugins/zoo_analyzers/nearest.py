"""Find the nearest of many vectors in one pass over the vectors."""

from __future__ import annotations

import torch
from torch import Tensor

# Vectors that are compared with a batch at a time
_ROWS = 4096


class Nearest:
    """For each given vector, the most similar vectors of a stream, by cosine similarity.

    Args:
        vectors: (N, F), each of length 1.
        count: number of vectors to find for each vector.
        skip: for each vector, the index of a stream vector to ignore, such as itself; may be empty.

    Attributes:
        similarities: (N, K), highest first; -inf where fewer than K vectors were found.
        numbers: the indices of these vectors in the stream, (N, K); arbitrary where the similarity is -inf.
    """

    def __init__(self, vectors: Tensor, count: int, *, skip: Tensor) -> None:
        self._vectors, self._skip = vectors, skip
        self._seen = 0
        self.similarities = torch.full((len(vectors), count), -torch.inf, device=vectors.device)
        self.numbers = torch.full((len(vectors), count), -1, device=vectors.device)

    def see(self, others: Tensor) -> None:
        """Compare the vectors with the next vectors of the stream, (B, F), each of length 1."""
        count = self.similarities.shape[1]
        numbers = torch.arange(self._seen, self._seen + len(others), device=others.device)
        self._seen += len(others)
        for start in range(0, len(self._vectors), _ROWS):
            rows = slice(start, start + _ROWS)
            similar = self._vectors[rows] @ others.T  # (N, B)
            if len(self._skip):
                similar = similar.masked_fill(self._skip[rows, None] == numbers, -torch.inf)
            both = torch.cat([self.similarities[rows], similar], 1)
            which = torch.cat([self.numbers[rows], numbers.expand(len(similar), -1)], 1)
            self.similarities[rows], places = both.topk(count)
            self.numbers[rows] = which.gather(1, places)
