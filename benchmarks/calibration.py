"""Simulate how often the interval of the expected calibration error covers the true error.

    python benchmarks/calibration.py --simulations 1000

Each simulation draws the confidences of `count` predictions, and whether they are correct, from a model whose
calibration is known. The true error is that of the same 15 bins without sampling.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo.evaluation.calibration_error import Reliability

Array = NDArray[np.float64]

BINS = 15
# Parameters of the beta distribution of confidences: of a model that is often sure, and of one that is not
SURE, UNSURE = (6.0, 0.6), (4.0, 1.5)
# Accuracy minus confidence, by confidence
GAPS: dict[str, Callable[[Array], Array]] = {
    "none": lambda confidence: 0 * confidence,
    "overconfident, a little": lambda confidence: -0.05 * np.sin(np.pi * confidence),
    "overconfident": lambda confidence: -0.15 * np.sin(np.pi * confidence),
    "both ways": lambda confidence: -0.05 * np.sin(4 * np.pi * confidence),
}


def main() -> None:
    """Print the coverage for each distribution, gap and number of predictions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--counts", type=int, nargs="+", default=[300, 1_000, 10_000])
    options = parser.parse_args()
    print(f"{'confidence':<12}{'gap':<26}{'count':>7}{'true':>8}{'mean':>8}{'coverage':>10}{'width':>8}")
    for sure, shape in (("high", SURE), ("medium", UNSURE)):
        for name, gap in GAPS.items():
            for count in options.counts:
                row = coverage(shape, gap, count, options.simulations, options.resamples)
                true, mean, covered, width = (f"{100 * value:.2f}%" for value in row)
                print(f"{sure:<12}{name:<26}{count:>7,}{true:>8}{mean:>8}{covered:>10}{width:>8}", flush=True)


def coverage(
    shape: tuple[float, float], gap: Callable[[Array], Array], count: int, simulations: int, resamples: int
) -> tuple[float, float, float, float]:
    """Return the true error, the mean observed error, the coverage, and the mean width of the interval."""
    random = np.random.default_rng(0)
    true = abs(gaps(*drawn(random, shape, gap, 4_000_000))).sum()
    observed: list[float] = []
    bounds: list[tuple[float, float]] = []
    for seed in range(simulations):
        confidence, chance = drawn(random, shape, gap, count)
        correct = random.random(count) < chance
        sample = Reliability(
            confidence=confidence,
            correct=correct,
            place=(confidence * BINS).astype(np.int64),
            edges=[number / BINS for number in range(BINS + 1)],
            ece=abs(gaps(confidence, correct.astype(float))).sum(),
            brier=0.0,
            loss=0.0,
        )
        low, high, _ = sample.ece_interval(resamples=resamples, seed=seed)
        observed.append(sample.ece)
        bounds.append((low, high))
    covered = np.mean([low <= true <= high for low, high in bounds])
    return float(true), float(np.mean(observed)), float(covered), float(np.mean(np.diff(bounds)))


def drawn(
    random: np.random.Generator, shape: tuple[float, float], gap: Callable[[Array], Array], count: int
) -> tuple[Array, Array]:
    """Return confidences from 0.1 to 1, and the chance of each prediction to be correct, (N,) each."""
    confidence = 0.1 + 0.9 * random.beta(*shape, size=count) * 0.999999
    return confidence, np.clip(confidence + gap(confidence), 0, 1)


def gaps(confidence: Array, correct: Array) -> Array:
    """Return the gap of each bin times its share of the predictions."""
    return np.bincount((confidence * BINS).astype(int), correct - confidence, BINS) / len(confidence)


if __name__ == "__main__":
    main()
