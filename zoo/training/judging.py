"""Which epoch was best and whether to go on, as functions of the epochs' rows: a stop changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.interfaces import Task

__all__ = ["best_epoch", "exhausted"]


def best_epoch(history: Sequence[Mapping[str, Any]], task: Task) -> int | None:
    """Return the number, from 1, of the first epoch whose validation was best; None without validation."""
    judged = [row["val"][task.headline] for row in history if "val" in row]
    if not judged:
        return None
    best = max(judged) if task.headline_grows else min(judged)
    return judged.index(best) + 1


def exhausted(history: Sequence[Mapping[str, Any]], task: Task, patience: int) -> bool:
    """Say whether validation has not got better for `patience` epochs; 0 is endless patience."""
    best = best_epoch(history, task)
    return bool(patience) and best is not None and len(history) - best >= patience
