"""Measure how well the confidence of a classifier matches its accuracy.

The confidence of a prediction is the probability of the predicted class. A model is calibrated if, of all
predictions with a confidence of 80%, 80% are correct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zoo.evaluation.intervals import wilson

# Share of the simulated samples that may have a lower error than was observed, and as many a higher one. With
# 0.025, some intervals would cover the true error in only 88% of simulations; see benchmarks/calibration.py.
_TAIL = 0.01
# Largest factor by which the observed gaps are scaled, and the number of times that it is bisected
_LARGEST, _BISECTIONS = 8.0, 24


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The confidence of N predictions, and whether they are correct.

    Attributes:
        confidence: probability of the predicted class, (N,) float64.
        correct: whether the predicted class is the label, (N,) bool.
        place: index of each prediction's bin, (N,). A bin contains its lower edge but not its upper one;
            predictions with a confidence of exactly 1 are in a separate bin, as in torchmetrics.
        edges: lower edge of each bin, and 1 for the last.
        ece: expected calibration error: the mean gap between accuracy and confidence of the bins, weighted by
            their number of predictions (Guo et al. 2017, On Calibration of Modern Neural Networks, section 2,
            arXiv 1706.04599).
        brier: mean over the images of the sum, over the classes, of the squared difference between the
            probability and 1 for the label or 0 for another class: from 0 to 2 (Brier 1950, Verification of
            Forecasts Expressed in Terms of Probability).
        loss: cross-entropy in nats per image.
    """

    confidence: NDArray[Any]
    correct: NDArray[Any]
    place: NDArray[Any]
    edges: Sequence[float]
    ece: float
    brier: float
    loss: float

    def ece_interval(self, *, resamples: int, seed: int = 0) -> tuple[float, float, float]:
        """Return the bounds of a 95% interval of the ECE, and the mean ECE of a calibrated model.

        The ECE of a finite sample is too high: gaps that are only noise add up. An ordinary bootstrap adds
        noise a second time, and its interval can miss the true error. Here, the images are resampled to learn
        the noise of each bin's gap. The interval contains each error for which the observed ECE is plausible
        if the true gaps are the observed ones, scaled to that error, plus this noise. It always includes the
        observed ECE. The mean ECE of a calibrated model is that of gaps that are only noise.
        """
        gaps, random, count = self._gaps(), np.random.default_rng(seed), len(self.confidence)
        excess = (self.correct - self.confidence) / count
        bins = len(self.edges)
        noise = np.empty((resamples, bins))
        for row in noise:
            drawn = random.integers(count, size=count)
            row[:] = np.bincount(self.place[drawn], excess[drawn], bins) - gaps
        ece = float(np.abs(gaps).sum())

        def scale(share: float) -> float:
            """Return the scale of the gaps at which a share of the simulated errors is below the ECE."""
            low, high = 0.0, _LARGEST
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                simulated = np.abs(middle * gaps + noise).sum(1)
                low, high = (low, middle) if np.quantile(simulated, share) >= ece else (middle, high)
            return low

        return scale(1 - _TAIL) * ece, max(scale(_TAIL), 1.0) * ece, float(np.abs(noise).sum(1).mean())

    def scores(self, *, resamples: int = 1_000) -> dict[str, float]:
        """Return all scores: `ece` with the bounds of its 95% interval, `brier`, `aurc`, and others.

        `ece_if_calibrated` is the ECE that noise alone causes, `aurc` the area under the curve of the error
        rate against coverage, and `confidence` the mean confidence.
        """
        low, high, noise = self.ece_interval(resamples=resamples)
        return {
            "ece": self.ece,
            "ece_low": low,
            "ece_high": high,
            "ece_if_calibrated": noise,
            "brier": self.brier,
            "aurc": float(self.risks().mean()),
            "accuracy": float(self.correct.mean()),
            "confidence": float(self.confidence.mean()),
            "loss": self.loss,
        }

    def bins(self) -> list[dict[str, Any]]:
        """Return a row for each bin that is not empty, with the 95% interval of its accuracy."""
        rows: list[dict[str, Any]] = []
        for number, edge in enumerate(self.edges):
            inside = self.place == number
            count, correct = int(inside.sum()), int(self.correct[inside].sum())
            if count:
                low, high = wilson(correct, count)
                confidence = float(self.confidence[inside].mean())
                upper = self.edges[min(number + 1, len(self.edges) - 1)]
                rows.append(
                    {
                        "from": edge,
                        "to": upper,
                        "count": count,
                        "confidence": confidence,
                        "accuracy": correct / count,
                        "accuracy_low": low,
                        "accuracy_high": high,
                    }
                )
        return rows

    def risks(self) -> NDArray[Any]:
        """Return the error rate of the most confident 1, 2, ..., N predictions, (N,).

        Predictions with equal confidence count with their mean error, as in a random order. The mean of the
        result is the area under the curve, AURC.

        Source: Geifman and El-Yaniv 2017, Selective Classification for Deep Neural Networks, arXiv
        1705.08500.
        """
        _, ranks, sizes = np.unique(-self.confidence, return_inverse=True, return_counts=True)
        errors = np.bincount(ranks, ~self.correct) / sizes  # of each confidence, highest first
        return np.cumsum(np.repeat(errors, sizes)) / np.arange(1, len(ranks) + 1)

    def _gaps(self) -> NDArray[Any]:
        """Return accuracy minus confidence of each bin, times the bin's share of all predictions."""
        excess = self.correct - self.confidence
        return np.bincount(self.place, excess, len(self.edges)) / len(excess)


def reliability(logits: Tensor, labels: Tensor, *, bins: int = 15) -> Reliability:
    """Compare the predictions of a classifier with the labels.

    Args:
        logits: (N, K), on the CPU.
        labels: class numbers (N,) from 0 to K - 1, int64 on the CPU.
        bins: number of bins of equal width from 0 to 1.
    """
    probabilities = logits.float().softmax(1)
    confidence, predicted = probabilities.max(1)
    edges = torch.linspace(0, 1, bins + 1)
    place, correct = torch.bucketize(confidence, edges, right=True) - 1, predicted == labels
    others = probabilities.double() - F.one_hot(labels, logits.shape[1])
    return Reliability(
        confidence=confidence.double().numpy(),
        correct=correct.numpy(),
        place=place.numpy(),
        edges=[number / bins for number in range(bins + 1)],
        ece=_ece(confidence, correct, place, len(edges)),
        brier=float(others.square().sum(1).mean()),
        loss=float(F.cross_entropy(logits.double(), labels)),
    )


def _ece(confidence: Tensor, correct: Tensor, place: Tensor, bins: int) -> float:
    """Return the ECE, with sums in fp32 as in torchmetrics, so that both agree."""
    zeros = torch.zeros(bins)
    count, right, total = (
        zeros.scatter_add(0, place, value)
        for value in (torch.ones_like(confidence), correct.float(), confidence)
    )
    gaps = (right / count).nan_to_num() - (total / count).nan_to_num()  # of an empty bin 0
    return float((gaps.abs() * (count / count.sum())).sum())
