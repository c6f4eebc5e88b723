"""Confidence intervals of metrics, computed from the values of each item."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.evaluation.measure import Measured, metrics_of
from zoo.interfaces import CarriesState, Task

Interval = tuple[float, float]
# The 97.5th percentile of the standard normal distribution, for intervals of 95%
_Z = 1.959963984540054
# Number of resamples of a bootstrap
RESAMPLES = 1_000


def wilson(successes: float, count: int) -> Interval:
    """Return the 95% Wilson score interval of a proportion; (0, 1) if `count` is 0.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22.
    """
    if count == 0:
        return 0.0, 1.0
    share, z2 = successes / count, _Z**2
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(center - half, 0.0), min(center + half, 1.0)


def percentiles(values: Sequence[float], blocks: float) -> Interval:
    """Return the 2.5th and the 97.5th percentile of the values that a bootstrap found.

    A bootstrap of few blocks varies too little. Both bounds are therefore moved away from the mean by a
    factor that approximates √(n / (n - 1)) times the ratio of Student's t to the normal quantile, but not
    beyond the range of the values. Source: Hesterberg 2015, What Teachers Should Know About the Bootstrap,
    The American Statistician 69.

    Args:
        values: a value for each resample.
        blocks: number of blocks, or of independent items.
    """
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    center, wider = math.fsum(values) / len(values), 1 + 1.7 / max(blocks - 1, 1)
    low, high = (center + wider * (bound - center) for bound in (low, high))
    return max(low, min(values)), min(high, max(values))


def intervals_of(task: Task, measured: Measured, preprocess: Mapping[str, Any]) -> dict[str, Interval]:
    """Return the 95% confidence interval of each metric; empty if the task does not provide values of items.

    A proportion of items has a Wilson score interval; every other metric has a percentile bootstrap interval.
    Items of a sequence are resampled in blocks, since neighbors depend on each other.
    """
    items, count = measured.items, measured.count
    if not items or count < 2:
        return {}
    length = block_length(items["loss"]) if isinstance(task, CarriesState) else 1
    shapes = {name: measured.sums[name].shape for name in items}
    drawn = [metrics_of(task, sums, count, preprocess) for sums in resampled(items, shapes, length=length)]
    found = {
        name: wilson(int(items[name].sum()), count)
        if name in items and items[name].dtype == torch.bool
        else percentiles([metrics[name] for metrics in drawn if name in metrics], count / length)
        for name in measured.metrics
        if name != "carried_loss"
    }
    if measured.carried is not None:
        found["carried_loss"] = intervals_of(task, measured.carried, preprocess)["loss"]
    return found


def block_length(values: Tensor) -> int:
    """Return the block length that preserves the dependence between neighboring values (N,).

    Source: Politis and White 2004, Automatic Block-Length Selection for the Dependent Bootstrap, Econometric
    Reviews 23, with the correction of Patton, Politis and White 2009; for the circular block bootstrap.
    """
    count = len(values)
    centered = values.double().numpy() - float(values.double().mean())
    spectrum = np.fft.rfft(centered, 2 * count)
    covariance = np.fft.irfft(abs(spectrum) ** 2)[:count] / count  # of lag 0, 1, ...
    if count < 9 or covariance[0] <= 0:
        return 1
    longest, quiet = math.isqrt(count), max(5, math.isqrt(int(math.log10(count))))
    small = abs(covariance[1 : longest + quiet] / covariance[0]) < 2 * math.sqrt(math.log10(count) / count)
    runs = (lag for lag in range(longest) if small[lag : lag + quiet].all())
    bandwidth = min(2 * max(next(runs, longest), 1), longest + quiet - 1)
    lags = np.arange(1, bandwidth + 1)
    weighted = np.clip(2 - 2 * lags / bandwidth, 0, 1) * covariance[1 : bandwidth + 1]
    density, slope = covariance[0] + 2 * weighted.sum(), 2 * (lags * weighted).sum()
    length = (1.5 * (slope / density) ** 2 * count) ** (1 / 3) if density > 0 else longest
    return max(1, min(math.ceil(length), 3 * longest, count // 3))


def resampled(
    items: Mapping[str, Tensor],
    shapes: Mapping[str, Sequence[int]],
    *,
    length: int = 1,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """Yield the sums over items that are drawn with replacement, in blocks of neighbors if `length` > 1.

    Draws depend only on the number of items, `length` and `seed`, so two models that were measured on the
    same items are resampled in the same way, which pairs their results.

    Sources: Efron 1979, Bootstrap Methods: Another Look at the Jackknife; Politis and Romano 1992, A Circular
    Block-Resampling Procedure for Stationary Data.

    Args:
        items: values of each item, (N, ...), as in `Step.items`.
        shapes: the shape of each sum.
        length: number of items in a block; blocks wrap around from the end of the data to its start.
    """
    count = len(next(iter(items.values())))
    random, blocks = np.random.default_rng(seed), math.ceil(count / length)
    values = {name: _by_block(value, length) for name, value in items.items()}
    for _ in range(resamples):
        starts = random.integers(count, size=blocks)
        yield {
            name: torch.from_numpy(_drawn(each, starts, shapes[name])).view(tuple(shapes[name]))
            * (count / (blocks * length))
            for name, each in values.items()
        }


def _by_block(value: Tensor, length: int) -> NDArray[Any]:
    """Return the contribution of the block that starts at each item: sums (D, N), or positions (N, P)."""
    values = value.reshape(len(value), -1).numpy()  # (N, D)
    if values.dtype == np.int64:
        items = np.arange(len(values))[:, None] + np.arange(length)  # of each block, (N, length)
        return values[items % len(values)].reshape(len(values), -1)
    if length == 1:
        return values.T.astype(np.float64, order="C")
    whole = np.concatenate([np.zeros((1, values.shape[1])), values, values[: length - 1]])
    total = np.cumsum(whole, axis=0, dtype=np.float64)
    return np.ascontiguousarray((total[length:] - total[:-length]).T)


def _drawn(values: NDArray[Any], starts: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the sum over the blocks that start at some items."""
    if values.dtype == np.int64:
        return np.bincount(values[starts].ravel(), minlength=math.prod(shape)).astype(np.float64)
    # As a product with the number of times that each block is drawn: much faster than copying the blocks
    return values @ np.bincount(starts, minlength=values.shape[1]).astype(np.float64)
