"""The result of a finished run, read from its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.evaluation.baseline import no_better_than_baseline
from zoo.files import run_files
from zoo.files.cards import read_card
from zoo.interfaces import Task
from zoo.registry.weights_files import of_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a run.

    Attributes:
        weights: the weights file of the best epoch; without validation, of the last epoch.
        epoch: the epoch of these weights.
        metrics: the metrics of that epoch, by split.
        last: the weights file of the last epoch.
        epochs: number of epochs.
        steps: number of optimizer steps.
        baseline: the metrics of a random baseline.
        better_than_baseline: whether every metric beats its random baseline; None without a val or test
            split.
        rate: items per second in the last epoch.
        seconds: training time of all epochs, without steps that were lost in a crash and repeated.
    """

    run: str
    weights: str
    epoch: int
    metrics: dict[str, dict[str, float]]
    last: str
    epochs: int
    steps: int
    baseline: dict[str, float]
    better_than_baseline: bool | None
    rate: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return asdict(self)


def read_result(directory: Path, history: Sequence[Mapping[str, Any]], task: Task) -> Result:
    """Return the result of a finished run. Raises WeightsError if it has no final weights."""
    last, weights = directory / run_files.LAST, of_run(directory)
    done, card = read_card(last).progress, read_card(weights)
    return Result(
        run=str(directory),
        weights=str(weights),
        epoch=card.progress["epochs"],
        metrics=card.metrics,
        last=str(last),
        epochs=done["epochs"],
        steps=done["steps"],
        baseline=task.baseline(card.preprocess),
        better_than_baseline=not any(
            no_better_than_baseline(metrics, task, card.preprocess) for metrics in card.metrics.values()
        )
        if card.metrics
        else None,
        rate=history[-1]["clock"]["rate"],
        seconds=round(sum(row["clock"]["seconds"] for row in history), 3),
    )
