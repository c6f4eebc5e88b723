"""Is a result better than that of guessing?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import warn
from zoo.interfaces import Task

__all__ = ["beats_chance", "no_better_than_chance"]


def no_better_than_chance(
    metrics: Mapping[str, float], task: Task, preprocess: Mapping[str, Any]
) -> dict[str, float]:
    """Return the metrics for which guessing does as well or better, and what it achieves."""
    more = task.spec.higher_is_better
    return {
        name: level
        for name, level in task.chance(preprocess).items()
        if name in metrics and not (metrics[name] > level if name in more else metrics[name] < level)  # NaN
    }


def beats_chance(
    metrics: Mapping[str, float], task: Task, preprocess: Mapping[str, Any], *, split: str
) -> bool:
    """Return whether a result on a split is better than chance in every respect, and warn if it is not."""
    if worse := no_better_than_chance(metrics, task, preprocess):
        listed = ", ".join(f"{name} {metrics[name]:.4g} (chance: {worse[name]:.4g})" for name in worse)
        warn(f"the result on {split} is no better than chance: {listed}")
    return not worse
