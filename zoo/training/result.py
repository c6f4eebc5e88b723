"""The result of a finished run, read from its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.errors import WeightsError
from zoo.evaluation.chance import no_better_than_chance
from zoo.files.cards import read_card
from zoo.interfaces import Task
from zoo.training.early_stopping import best_epoch

__all__ = ["Result", "read_result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a run.

    Attributes:
        best: `{weights, epoch, metrics}` of the epoch with the best validation; None without validation.
            `weights` is None if the file is gone.
        chance: the metrics of guessing.
        better_than_chance: whether every one of them is surpassed; None without validation or test.
        rate: items per second in the last epoch.
        seconds: seconds of training over all epochs; an interrupted epoch counts from where it was resumed.
    """

    run: str
    weights: str
    epochs: int
    steps: int
    metrics: dict[str, dict[str, float]]
    chance: dict[str, float]
    better_than_chance: bool | None
    best: dict[str, Any] | None
    rate: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return asdict(self)


def read_result(directory: Path, history: Sequence[Mapping[str, Any]], task: Task) -> Result:
    """Return the result of a finished run. Raises WeightsError if it has no final weights."""
    weights = directory / "model.safetensors"
    card = read_card(weights)
    return Result(
        run=str(directory),
        weights=str(weights),
        epochs=card.progress["epochs"],
        steps=card.progress["steps"],
        metrics=card.metrics,
        chance=task.chance(card.preprocess),
        better_than_chance=not any(
            no_better_than_chance(metrics, task, card.preprocess) for metrics in card.metrics.values()
        )
        if card.metrics
        else None,
        best=_best(directory / "best.safetensors", history, task),
        rate=history[-1]["clock"]["rate"],
        seconds=round(sum(row["clock"]["seconds"] for row in history), 3),
    )


def _best(path: Path, history: Sequence[Mapping[str, Any]], task: Task) -> dict[str, Any] | None:
    epoch = best_epoch(history, task)
    if epoch is None:
        return None
    try:
        kept = read_card(path).progress["epochs"] == epoch
    except WeightsError:
        kept = False  # the user removed it
    metrics = {"val": history[epoch - 1]["val"]}
    return {"weights": str(path) if kept else None, "epoch": epoch, "metrics": metrics}
