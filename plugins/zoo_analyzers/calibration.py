"""Measure whether the confidence of a classifier can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import Reliability, reliability, style, untouched, wilson
from zoo_analyzers.calibration_plot import calibration_plot

# Shares of the images for which the table lists the error rate
_COVERAGES = [number / 10 for number in range(1, 11)]


class Calibration(Analyzer):
    """Reliability diagram, calibration error, and error rate of the most confident predictions.

    Args:
        bins: number of bins of equal width.
        resamples: number of bootstrap samples of the images, for the interval of the calibration error.
    """

    def __init__(
        self,
        *,
        bins: Annotated[int, Meta(ge=1, le=100)] = 15,
        resamples: Annotated[int, Meta(ge=100, le=100_000)] = 1_000,
    ) -> None:
        self.bins = bins
        self.resamples = resamples

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the tables `bins` and `coverage`, `calibration.png`, the logits, and the scores.

        The scores are those of `zoo.plugin.Reliability`.

        Raises OptionError if no image has a label.
        """
        logits, labels = _outputs(model, batches)
        known = labels >= 0
        if not known.any():
            raise OptionError(
                "the calibration analyzer requires labels, but these images have none",
                hint="choose a split with --split",
            )
        found = reliability(logits[known], labels[known], bins=self.bins)
        scores = found.scores(resamples=self.resamples)
        bins = found.bins()
        return Analysis(
            logits=logits,
            scores=scores,
            tables={"bins": bins, "coverage": _coverage(found)},
            details={"count": len(found.correct)},
            figures={
                "calibration.png": lambda: style.png(
                    calibration_plot(bins, found.risks(), scores, title=subject.title, width=1 / self.bins)
                )
            },
        )


def _outputs(model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Return the logits (N, K) and the labels (N,), -1 if unknown."""
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    with untouched(model) as inner, torch.no_grad():
        for batch in batches:
            logits.append(inner(batch.inputs).float().cpu())
            labels.append(batch.targets.cpu())
    return torch.cat(logits), torch.cat(labels)


def _coverage(found: Reliability) -> list[dict[str, Any]]:
    """Return the error rate, with its 95% interval, of the most confident share of the predictions."""
    risks, confidences = found.risks(), sorted(found.confidence.tolist(), reverse=True)
    rows: list[dict[str, Any]] = []
    for coverage in _COVERAGES:
        count = max(round(coverage * len(risks)), 1)
        error = float(risks[count - 1])
        low, high = wilson(error * count, count)
        rows.append(
            {
                "coverage": coverage,
                "count": count,
                "least_confidence": confidences[count - 1],
                "error_rate": error,
                "error_low": low if error else 0.0,  # without rounding
                "error_high": high,
            }
        )
    return rows
