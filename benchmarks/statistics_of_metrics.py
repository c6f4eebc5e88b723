"""How often intervals contain the true value, and comparisons report a difference, in simulations."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import zoo
from benchmarks.measuring import benchmark, share_of
from benchmarks.rows import Row
from zoo.evaluation.intervals import block_length, percentiles, resampled, wilson
from zoo.tools.compare.significance import RESAMPLES, bootstrap, detectable, mcnemar, welch
from zoo_images.average_precision import BINS, average_precision, histograms, places

MODELS = ("cifar10-resnet-lite", "cifar10-convnet-bn-deep")
# The true difference of two models on CIFAR-10, and numbers of images on which they disagree, as shares
DIFFERENCE, DISAGREEING = 0.015, (0.1, 0.2, 0.28)
# Data sets that are resampled together
AT_A_TIME = 500


@benchmark(minutes=40)
def coverage(*, sets: int = 10_000) -> Iterator[Row]:
    """Confidence intervals of simulated data sets that contain the true value.

    An image of the multi-label data set has a right, a missing and a wrong label with fixed probabilities. An
    image of the segmentation has 64 pixels, whose share of errors varies from image to image.
    """
    torch.set_num_threads(1)
    for count in (300, 1_000, 3_000, 10_000):
        for share in (0.5, 0.8, 0.9, 0.95, 0.98):
            draws = np.random.default_rng(0).binomial(count, share, sets)
            hits = sum(low <= share <= high for low, high in (wilson(int(each), count) for each in draws))
            yield share_of(f"Wilson, an accuracy of {share:.0%}", f"{count:,} items", hits, sets)
    for count in (300, 1_000, 3_000):
        hits = sum(_contained(values, math.exp(0.5), blocks=False) for values in _skewed(count, sets))
        yield share_of("bootstrap, a skewed (log-normal) loss", f"{count:,} items", hits, sets)
    for coefficient in (0.0, 0.3, 0.6, 0.9):
        for count in (2_000, 10_000):
            hits = sum(
                _contained(values, 1.0, blocks=True) for values in _dependent(coefficient, count, sets)
            )
            case = f"block bootstrap, an autocorrelation of {coefficient:g}"
            yield share_of(case, f"{count:,} tokens", hits, sets)
    for count in (300, 1_000):
        f1, iou = np.random.default_rng(5), np.random.default_rng(6)
        hits_f1 = hits_iou = 0
        for start in range(0, sets, AT_A_TIME):
            shape = (count, min(AT_A_TIME, sets - start))
            right, wrong = (torch.from_numpy(f1.random(shape) < share) for share in (0.8, 0.3))
            hits_f1 += _ratios_contained({"right": right, "wrong": wrong}, 1, 1.6 / 1.9)
            # of wrong pixels, 0.2 in the mean
            wrong = torch.from_numpy(iou.binomial(64, iou.beta(2, 8, shape))).double()
            hits_iou += _ratios_contained({"right": 64.0 - wrong, "wrong": wrong}, 2, 0.8 / 1.2)
        yield share_of("bootstrap, F1", f"{count:,} items", hits_f1, sets)
        yield share_of("bootstrap, mean IoU", f"{count:,} items", hits_iou, sets)
    yield from _of_scores(sets // 10)  # a resample is slow to score


def _of_scores(sets: int) -> Iterator[Row]:
    """Yield how many bootstrap intervals contain the true average precision of normal scores."""
    generator = torch.Generator().manual_seed(7)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.rand(count, 1, generator=generator) < 0.3
        return torch.randn(count, 1, generator=generator) + 1.5 * labels, labels

    truth = float(average_precision(histograms(*drawn(5_000_000))))
    for count in (300, 1_000):
        hits = 0
        for _ in range(sets):
            sums = resampled({"histograms": places(*drawn(count))}, {"histograms": (2, 1, BINS)})
            low, high = percentiles([float(average_precision(each["histograms"])) for each in sums], count)
            hits += low <= truth <= high
        yield share_of("bootstrap, average precision", f"{count:,} items", hits, sets)


def _ratios_contained(items: Mapping[str, Tensor], weight: int, truth: float) -> int:
    """Return how many intervals of data sets (N, S) contain the true ratio of sums.

    With a weight of 1 it is F1, 2r / (2r + w); with 2 the mean IoU of two classes, r / (r + 2w).
    """
    count, sets = items["right"].shape
    sums = resampled(items, dict.fromkeys(items, (sets,)))
    factor = 2 if weight == 1 else 1
    ratios = [factor * s["right"] / (factor * s["right"] + weight * s["wrong"]) for s in sums]
    values = np.stack([each.numpy() for each in ratios])  # (resamples, S)
    return sum(low <= truth <= high for low, high in (percentiles(one.tolist(), count) for one in values.T))


def _skewed(count: int, sets: int) -> Iterator[Tensor]:
    """Yield log-normal losses (N, S) of S data sets; their mean is exp(0.5)."""
    generator = np.random.default_rng(1)
    for start in range(0, sets, AT_A_TIME):
        yield torch.from_numpy(generator.lognormal(size=(count, min(AT_A_TIME, sets - start))))


def _dependent(coefficient: float, count: int, sets: int) -> Iterator[Tensor]:
    """Yield losses (N, S) with a mean of 1, each of which depends on the one before it."""
    generator, burn_in = np.random.default_rng(2), 200
    for start in range(0, sets, AT_A_TIME):
        values = generator.exponential(size=(count + burn_in, min(AT_A_TIME, sets - start))) - 1
        for number in range(1, count + burn_in):
            values[number] += coefficient * values[number - 1]
        yield torch.from_numpy(1 + values[burn_in:])


def _contained(values: Tensor, truth: float, *, blocks: bool) -> int:
    """Return how many bootstrap intervals of the means of data sets (N, S) contain the true value.

    Data sets with blocks of one length share the draws, as several sums of one model do.
    """
    by_length: dict[int, list[int]] = {}
    for number in range(values.shape[1]):
        by_length.setdefault(block_length(values[:, number]) if blocks else 1, []).append(number)
    hits = 0
    for length, numbers in by_length.items():
        sums = resampled({"loss": values[:, numbers]}, {"loss": (len(numbers),)}, length=length)
        means = np.stack([each["loss"].numpy() for each in sums]) / len(values)  # (resamples, S)
        intervals = (percentiles(column.tolist(), len(values) / length) for column in means.T)
        hits += sum(low <= truth <= high for low, high in intervals)
    return hits


@benchmark(minutes=20, needs="CIFAR-10")
def swapped(*, times: int = 1_000) -> Iterator[Row]:
    """Comparisons that report a difference between two models whose outputs are swapped at random."""
    torch.set_num_threads(1)
    found = zoo.compare(*MODELS, progress=False)
    right, losses = (
        [each.measured.items[name] for each in found.measurements] for name in ("accuracy", "loss")
    )
    accuracies = loss = 0
    for number in range(times):
        swap = torch.rand(found.count, generator=torch.Generator().manual_seed(number)) < 0.5
        a, b = torch.where(swap, right[1], right[0]), torch.where(swap, right[0], right[1])
        accuracies += mcnemar(int((a & ~b).sum()), int((b & ~a).sum())) < 0.05
        difference = torch.where(swap, losses[1] - losses[0], losses[0] - losses[1])
        sums = resampled({"loss": difference}, {"loss": ()}, resamples=RESAMPLES)
        drawn = [float(each["loss"]) / found.count for each in sums]
        loss += bootstrap(float(difference.double().mean()), drawn, found.count)[1] < 0.05
    yield share_of("accuracy (McNemar)", "differences found", accuracies, times)
    yield share_of("loss (paired bootstrap)", "differences found", loss, times)


@benchmark(minutes=1)
def power(*, times: int = 1_000) -> Iterator[Row]:
    """Comparisons that detect a true difference of 1.5 percentage points on 10,000 images."""
    for disagreeing in DISAGREEING:
        shares = [(disagreeing + DIFFERENCE) / 2, (disagreeing - DIFFERENCE) / 2, 1 - disagreeing]
        draws = np.random.default_rng(3).multinomial(10_000, shares, times)
        hits = sum(mcnemar(int(a), int(b)) < 0.05 for a, b, _ in draws)
        error = math.sqrt((disagreeing - DIFFERENCE**2) / 10_000)
        smallest = detectable(np.random.default_rng(4).normal(0, error, RESAMPLES).tolist()) + 1 / 10_000
        yield share_of(f"models disagree on {disagreeing:.0%}", "differences found", hits, times)
        yield Row(f"models disagree on {disagreeing:.0%}", "detectable", 100 * smallest, "points", times)


@benchmark(minutes=10)
def seeds(*, times: int = 1_000, runs: int = 40) -> Iterator[Row]:
    """Comparisons that report a difference between two groups of five runs of one recipe, drawn from 40."""
    values: list[float] = []
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            run = zoo.train(
                "mlp", "shapes", epochs=2, seed=seed, threads=1, run=Path(folder, "run"), progress=False
            )
            values.append(run.model.evaluate("test", progress=False)["metrics"]["accuracy"])
    draw, hits = random.Random(0), 0
    for _ in range(times):
        ten = draw.sample(values, 10)
        hits += welch(ten[:5], ten[5:])[1] < 0.05
    yield share_of("groups of five (Welch)", "differences found", hits, times)
