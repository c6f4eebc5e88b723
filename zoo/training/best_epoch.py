"""The best epoch and early stopping, computed from the rows of the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.config.train_config import TrainConfig
    from zoo.interfaces import Task
    from zoo.registry.specs import TaskSpec


def epochs_in(history: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of finished epochs; the starting weights of a fine-tuned model are epoch 0."""
    return history[-1]["epoch"] if history else 0


def row_of(history: Sequence[Mapping[str, Any]], epoch: int | None) -> Mapping[str, Any]:
    """Return the row of an epoch, or of the last one for None."""
    return next((row for row in history if row["epoch"] == epoch), history[-1])


def best_epoch(history: Sequence[Mapping[str, Any]], task: Task) -> int | None:
    """Return the number of the first epoch with the best validation metric; None without validation.

    The number is 0 if the weights that training started from are the best. Among epochs with equal accuracy,
    which are common on small splits, the epoch with the lowest loss is best.
    """
    return best_by(history, task.spec)


def best_by(history: Sequence[Mapping[str, Any]], spec: TaskSpec) -> int | None:
    """Return the best epoch by the primary metric of a task; see `best_epoch`."""
    sign = 1 if spec.primary_metric in spec.higher_is_better else -1
    values = {
        row["epoch"]: (sign * row["val"][spec.primary_metric], -row["val"]["loss"])
        for row in history
        if "val" in row
    }
    return max(values, key=lambda number: values[number]) if values else None


def out_of_patience(history: Sequence[Mapping[str, Any]], task: Task, patience: int) -> bool:
    """Return whether validation has not improved for `patience` epochs; always False for 0."""
    best = best_epoch(history, task)
    return bool(patience) and best is not None and epochs_in(history) - best >= patience


def is_finished(history: Sequence[Mapping[str, Any]], task: Task, config: TrainConfig) -> bool:
    """Return whether all epochs are done, or early stopping has ended training."""
    return epochs_in(history) >= config.epochs or out_of_patience(history, task, config.patience)
