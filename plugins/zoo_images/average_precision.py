"""Compute average precision from histograms of the scores of positives and negatives, added up over batches.

A score is rounded to a 13-bit floating-point number: a sign bit, 4 bits of exponent, from 1/256 to 256, and 8
bits of mantissa. These numbers, in order, are the bins, and scores in the same bin are ties. The histograms
of 80 classes take 10.5 MB in double precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

# float16 has 10 bits of mantissa; these are left out
_DROPPED = 2
# Logits of a magnitude below 2**-8 share a bin, as do those of 2**8 and more
_LOWEST, _HIGHEST = (7 << 10) >> _DROPPED, ((23 << 10) >> _DROPPED) - 1
_HALF = _HIGHEST - _LOWEST + 1
# Bins of each class's histogram
BINS = 2 * _HALF


def histograms(scores: Tensor, labels: Tensor) -> Tensor:
    """Count the scores of each class's negatives and positives in bins, from the lowest score to the highest.

    Args:
        scores: (N, K), floating point, such as logits.
        labels: (N, K), whether an item belongs to a class.

    Returns:
        Counts (2, K, BINS), int64: negatives, then positives.
    """
    where = places(scores, labels).flatten()
    counts = where.new_zeros(2 * scores.shape[1] * BINS)
    counts.scatter_add_(0, where, torch.ones_like(where))  # bincount would wait for a GPU
    return counts.view(2, scores.shape[1], BINS)


def places(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the positions (N, K), int64, in the flattened histograms at which scores are counted."""
    classes = scores.shape[1]
    rows = labels.long() * classes + torch.arange(classes, device=scores.device)  # (N, K)
    return rows * BINS + _bins(scores)


def _bins(scores: Tensor) -> Tensor:
    """Return the bin of each score: the bits of a small floating-point number, in order."""
    bits = (scores.float() + 0.0).half().view(torch.int16).long()  # adding 0 makes -0 a 0
    size = ((bits & 0x7FFF) >> _DROPPED).clamp(_LOWEST, _HIGHEST) - _LOWEST
    return torch.where(bits < 0, _HALF - 1 - size, _HALF + size)


def average_precision(counts: Tensor) -> Tensor:
    """Return each class's average precision, (K,) float64; NaN for a class without positives.

    Average precision is the sum over scores, from the highest down, of the precision times the gain in
    recall, without interpolation and with ties grouped, as in scikit-learn. Source: Everingham et al. 2010,
    The Pascal VOC Challenge, IJCV 88, section 4.2; later editions of the challenge use every score.

    Args:
        counts: the sum of the results of `histograms` over all batches, (2, K, BINS).
    """
    negatives, positives = counts.double().flip(2)
    hits = positives.cumsum(1)
    precision = hits / (hits + negatives.cumsum(1)).clamp(min=1)
    return (precision * positives).sum(1) / positives.sum(1)
