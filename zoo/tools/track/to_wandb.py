"""Weights & Biases: a run in the project `$WANDB_PROJECT`, or `zoo`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Literal

from zoo.runs.tracking import TrackedRow, TrackedRun, Tracker


class WeightsAndBiases(Tracker):
    """Log to W&B. An offline run does not report its last step.

    Args:
        project: project to log to; by default, `$WANDB_PROJECT`, or `zoo`.
    """

    def __init__(self, *, project: str = "") -> None:
        self._project = project or os.environ.get("WANDB_PROJECT", "zoo")
        self._wandb = import_module("wandb")

    def begin(self, run: TrackedRun) -> None:
        self._run = self._wandb.init(
            project=self._project,
            id=run.id,
            name=run.name,
            config=dict(run.options),
            resume="allow",
        )

    def log(self, rows: Sequence[TrackedRow]) -> None:
        for row in rows:
            self._run.log({**row.values, "_timestamp": row.time}, step=row.step)

    def end(self, status: Literal["finished", "stopped"]) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)
