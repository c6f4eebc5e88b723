"""How often the interval of the expected calibration error contains the true error, in simulations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import benchmark, share_of
from benchmarks.rows import Row
from zoo.evaluation.calibration_error import Reliability

Array = NDArray[np.float64]
# Bins of the calibration error, and parameters of the beta distribution of confidences, often high or not
ECE_BINS, CONFIDENCES = 15, {"high": (6.0, 0.6), "medium": (4.0, 1.5)}
# Accuracy minus confidence, by confidence
GAPS: dict[str, Callable[[Array], Array]] = {
    "none": lambda confidence: 0 * confidence,
    "overconfident, a little": lambda confidence: -0.05 * np.sin(np.pi * confidence),
    "overconfident": lambda confidence: -0.15 * np.sin(np.pi * confidence),
    "both ways": lambda confidence: -0.05 * np.sin(4 * np.pi * confidence),
}


@benchmark(minutes=60)
def calibration(
    *, simulations: int = 1_000, resamples: int = 1_000, counts: tuple[int, ...] = (300, 1_000, 10_000)
) -> Iterator[Row]:
    """Intervals of the expected calibration error that contain the true error, in simulations.

    Each simulation draws the confidences of `count` predictions, and whether they are correct, from a model
    whose calibration is known. The true error is that of the same 15 bins without sampling.
    """
    for level, shape in CONFIDENCES.items():
        for name, gap in GAPS.items():
            for count in counts:
                random, hits = np.random.default_rng(0), 0
                true = abs(_gaps(*_drawn(random, shape, gap, 4_000_000))).sum()
                for seed in range(simulations):
                    confidence, chance = _drawn(random, shape, gap, count)
                    correct = random.random(count) < chance
                    sample = Reliability(
                        confidence=confidence,
                        correct=correct,
                        place=(confidence * ECE_BINS).astype(np.int64),
                        edges=[number / ECE_BINS for number in range(ECE_BINS + 1)],
                        ece=abs(_gaps(confidence, correct.astype(float))).sum(),
                        brier=0.0,
                        loss=0.0,
                    )
                    low, high, _ = sample.ece_interval(resamples=resamples, seed=seed)
                    hits += low <= true <= high
                case = f"{level} confidence, gap {name}, {count:,} images"
                yield share_of(case, "contain the true error", int(hits), simulations)


def _drawn(
    random: np.random.Generator, shape: tuple[float, float], gap: Callable[[Array], Array], count: int
) -> tuple[Array, Array]:
    """Return confidences from 0.1 to 1, and the chance of each prediction to be correct, (N,) each."""
    confidence = 0.1 + 0.9 * random.beta(*shape, size=count) * 0.999999
    return confidence, np.clip(confidence + gap(confidence), 0, 1)


def _gaps(confidence: Array, correct: Array) -> Array:
    """Return the gap of each bin times its share of the predictions."""
    places = (confidence * ECE_BINS).astype(int)
    return np.bincount(places, correct - confidence, ECE_BINS) / len(confidence)
