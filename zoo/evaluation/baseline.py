"""Compare a result with a random baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zoo.errors import warn
from zoo.evaluation.intervals import wilson
from zoo.interfaces import Task


def no_better_than_baseline(
    metrics: Mapping[str, float], task: Task, preprocess: Mapping[str, Any]
) -> dict[str, float]:
    """Return the metrics on which a random baseline is at least as good, with the baseline's values."""
    more = task.spec.higher_is_better
    return {
        name: level
        for name, level in task.baseline(preprocess).items()
        if name in metrics and not (metrics[name] > level if name in more else metrics[name] < level)  # NaN
    }


def warn_of_a_wrong_sign(
    metrics: Mapping[str, float], task: Task, preprocess: Mapping[str, Any], *, count: int, loss: str
) -> None:
    """Warn if the training metrics of an epoch that reduced the minimized loss are below a random baseline.

    The primary metric must be worse by its 95% confidence interval or, unless it is clearly better, the loss
    must be twice as high.

    Args:
        count: number of items in the epoch.
        loss: description of the minimized loss.
    """
    levels, primary = task.baseline(preprocess), task.spec.primary_metric
    worse = "loss" if metrics["loss"] > 2 * levels.get("loss", math.inf) > 0 else ""
    if primary in levels and primary in task.spec.higher_is_better:
        low, high = wilson(min(max(metrics[primary], 0.0), 1.0) * count, count)
        if high < levels[primary]:
            worse = primary
        elif low > levels[primary]:
            worse = ""
    if worse:
        warn(
            f"the training {worse} in epoch 1 is {metrics[worse]:.4g}, worse than a random baseline "
            f"({levels[worse]:.4g}), although the minimized loss fell: check the sign of {loss}"
        )


def beats_baseline(
    metrics: Mapping[str, float], task: Task, preprocess: Mapping[str, Any], *, split: str
) -> bool:
    """Return whether a result on a split beats a random baseline on every metric, and warn if it does not."""
    if worse := no_better_than_baseline(metrics, task, preprocess):
        listed = ", ".join(
            f"{name} {metrics[name]:.4g} (random baseline: {worse[name]:.4g})" for name in worse
        )
        warn(f"the result on {split} is no better than a random baseline: {listed}")
    return not worse
