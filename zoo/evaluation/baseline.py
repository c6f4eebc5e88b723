"""Compare a result with a random baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import warn
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
