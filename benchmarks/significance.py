"""Count how often intervals contain the truth, and how often comparisons find a difference.

    python benchmarks/significance.py coverage [--sets 10000]
    python benchmarks/significance.py swapped [--times 1000]
    python benchmarks/significance.py power [--times 1000]
    python benchmarks/significance.py seeds [--times 1000]

- coverage: 95% intervals of simulated data sets whose true metrics are known.
- swapped: two published CIFAR-10 models whose outputs are exchanged at random for each test image, so that
  there is no difference to find.
- power: test sets drawn from a population of images in which one model is better by 1.5 points.
- seeds: two groups of five runs of one recipe, drawn from 40 runs.

The standard error of each share is printed beside it.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import zoo
from zoo.evaluation.intervals import block_length, percentiles, resampled, wilson
from zoo.tools.compare.significance import RESAMPLES, bootstrap, detectable, mcnemar, welch
from zoo_images.average_precision import BINS, average_precision, histograms, places

MODELS = ("cifar10-resnet-lite", "cifar10-convnet-bn-deep")
# The true difference of two models on CIFAR-10, and numbers of images on which they disagree, as shares
DIFFERENCE, DISAGREEING = 0.015, (0.1, 0.2, 0.28)
# Data sets that are resampled together
_AT_A_TIME = 500


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate intervals and comparisons.")
    parser.add_argument("what", choices=["coverage", "swapped", "power", "seeds"])
    parser.add_argument("--sets", type=int, default=10_000, help="Number of data sets for each interval.")
    parser.add_argument("--times", type=int, default=1_000, help="Number of comparisons.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "coverage":
        coverage(options.sets)
    else:
        {"swapped": swapped, "power": power, "seeds": seeds}[options.what](options.times)


def coverage(sets: int) -> None:
    """Print how many intervals contain the true value."""
    for count in (300, 1_000, 3_000, 10_000):
        for share in (0.5, 0.8, 0.9, 0.95, 0.98):
            draws = np.random.default_rng(0).binomial(count, share, sets)
            hits = sum(low <= share <= high for low, high in (wilson(int(each), count) for each in draws))
            report(f"Wilson, accuracy {share:.0%}, {count:,} items", hits, sets)
    for count in (300, 1_000, 3_000):
        hits = sum(contained(values, math.exp(0.5), blocks=False) for values in skewed(count, sets))
        report(f"bootstrap, loss (log-normal), {count:,} items", hits, sets)
    for coefficient in (0.0, 0.3, 0.6, 0.9):
        for count in (2_000, 10_000):
            hits = sum(contained(values, 1.0, blocks=True) for values in dependent(coefficient, count, sets))
            report(f"block bootstrap, autocorrelation {coefficient}, {count:,} tokens", hits, sets)
    of_counts(sets)
    of_scores(sets // 10)  # a resample is slow to score


def of_counts(sets: int) -> None:
    """Print how many bootstrap intervals contain the true F1 and the true mean IoU, which are ratios of sums.

    An image of a multi-label data set has a right, a missing and a wrong label with fixed probabilities. An
    image of a segmentation has 64 pixels, whose share of errors varies from image to image.
    """
    for count in (300, 1_000):
        generator, hits = np.random.default_rng(5), 0
        for start in range(0, sets, _AT_A_TIME):
            shape = (count, min(_AT_A_TIME, sets - start))
            right, wrong = (torch.from_numpy(generator.random(shape) < share) for share in (0.8, 0.3))
            hits += ratios_contained({"right": right, "wrong": wrong}, f1, 1.6 / 1.9)
        report(f"bootstrap, F1, {count:,} items", hits, sets)
    for count in (300, 1_000):
        generator, hits = np.random.default_rng(6), 0
        for start in range(0, sets, _AT_A_TIME):
            shape = (count, min(_AT_A_TIME, sets - start))
            share = generator.beta(2, 8, shape)  # of wrong pixels, 0.2 in the mean
            wrong = torch.from_numpy(generator.binomial(64, share))
            hits += ratios_contained({"right": 64.0 - wrong, "wrong": wrong.double()}, iou, 0.8 / 1.2)
        report(f"bootstrap, mean IoU, {count:,} images", hits, sets)


def of_scores(sets: int) -> None:
    """Print how many bootstrap intervals contain the true average precision of normal scores."""
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
        report(f"bootstrap, average precision, {count:,} items", hits, sets)


def f1(sums: Mapping[str, Tensor]) -> Tensor:
    """Return the F1 score for sums of right, and of missing or wrong labels, (S,)."""
    return 2 * sums["right"] / (2 * sums["right"] + sums["wrong"])


def iou(sums: Mapping[str, Tensor]) -> Tensor:
    """Return the mean IoU of two classes of one size, which are confused equally often, (S,)."""
    return sums["right"] / (sums["right"] + 2 * sums["wrong"])


def ratios_contained(
    items: Mapping[str, Tensor], metric: Callable[[Mapping[str, Tensor]], Tensor], truth: float
) -> int:
    """Return how many intervals of data sets (N, S) contain the true value of a metric."""
    count, sets = next(iter(items.values())).shape
    sums = resampled(items, dict.fromkeys(items, (sets,)))
    values = np.stack([metric(each).numpy() for each in sums])  # (resamples, S)
    intervals = (percentiles(column.tolist(), count) for column in values.T)
    return sum(low <= truth <= high for low, high in intervals)


def skewed(count: int, sets: int) -> Iterator[Tensor]:
    """Yield log-normal losses (N, S) of S data sets; their mean is exp(0.5)."""
    generator = np.random.default_rng(1)
    for start in range(0, sets, _AT_A_TIME):
        yield torch.from_numpy(generator.lognormal(size=(count, min(_AT_A_TIME, sets - start))))


def dependent(coefficient: float, count: int, sets: int) -> Iterator[Tensor]:
    """Yield losses (N, S) with a mean of 1, each of which depends on the one before it."""
    generator, burn_in = np.random.default_rng(2), 200
    for start in range(0, sets, _AT_A_TIME):
        values = generator.exponential(size=(count + burn_in, min(_AT_A_TIME, sets - start))) - 1
        for number in range(1, count + burn_in):
            values[number] += coefficient * values[number - 1]
        yield torch.from_numpy(1 + values[burn_in:])


def contained(values: Tensor, truth: float, *, blocks: bool) -> int:
    """Return how many bootstrap intervals of the means of data sets (N, S) contain the true value.

    Data sets with blocks of one length share the draws, as several sums of one model do.
    """
    by_length: dict[int, list[int]] = {}
    for number in range(values.shape[1]):
        by_length.setdefault(block_length(values[:, number]) if blocks else 1, []).append(number)
    hits = 0
    for length, numbers in by_length.items():
        chosen = values[:, numbers]
        sums = resampled({"loss": chosen}, {"loss": (len(numbers),)}, length=length)
        means = np.stack([each["loss"].numpy() for each in sums]) / len(values)  # (resamples, S)
        intervals = (percentiles(column.tolist(), len(values) / length) for column in means.T)
        hits += sum(low <= truth <= high for low, high in intervals)
    return hits


def swapped(times: int) -> None:
    """Print how often a difference is found where there is none."""
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
        drawn = [
            float(each["loss"]) / found.count
            for each in resampled({"loss": difference}, {"loss": ()}, resamples=RESAMPLES)
        ]
        loss += bootstrap(float(difference.double().mean()), drawn, found.count)[1] < 0.05
    report("swapped outputs, accuracy (McNemar)", accuracies, times)
    report("swapped outputs, loss (paired bootstrap)", loss, times)


def power(times: int) -> None:
    """Print how often a true difference of 1.5 points is found on 10,000 images."""
    for disagreeing in DISAGREEING:
        shares = [(disagreeing + DIFFERENCE) / 2, (disagreeing - DIFFERENCE) / 2, 1 - disagreeing]
        draws = np.random.default_rng(3).multinomial(10_000, shares, times)
        hits = sum(mcnemar(int(a), int(b)) < 0.05 for a, b, _ in draws)
        error = math.sqrt((disagreeing - DIFFERENCE**2) / 10_000)
        smallest = detectable(np.random.default_rng(4).normal(0, error, RESAMPLES).tolist()) + 1 / 10_000
        what = f"1.5 points, models disagree on {disagreeing:.1%}, detectable {100 * smallest:.2f} points"
        report(what, hits, times)


def seeds(times: int) -> None:
    """Print how often two groups of five seeds of one recipe are called different."""
    with tempfile.TemporaryDirectory() as folder:
        values: list[float] = []
        for seed in range(40):
            run = zoo.train(
                "mlp", "shapes", epochs=2, seed=seed, threads=1, run=Path(folder) / str(seed), progress=False
            )
            values.append(run.model.evaluate("test", progress=False)["metrics"]["accuracy"])
    draw, hits = random.Random(0), 0
    for _ in range(times):
        ten = draw.sample(values, 10)
        hits += welch(ten[:5], ten[5:])[1] < 0.05
    report("groups of five seeds (Welch)", hits, times)


def report(what: str, hits: int, total: int) -> None:
    """Print a share with its standard error."""
    share = hits / total
    print(f"{what}: {share:.2%} ± {math.sqrt(share * (1 - share) / total):.2%}", flush=True)


if __name__ == "__main__":
    main()
