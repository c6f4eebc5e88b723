"""Trackio: a run in the project `$TRACKIO_PROJECT`, or `zoo`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Literal

from zoo.runs.tracking import TrackedRow, TrackedRun, Tracker


class Trackio(Tracker):
    """Log to Trackio, which finds a run by its name and does not report the run's last step.

    Args:
        project: project to log to; by default, `$TRACKIO_PROJECT`, or `zoo`.
    """

    def __init__(self, *, project: str = "") -> None:
        self._project = project or os.environ.get("TRACKIO_PROJECT", "zoo")
        self._trackio = import_module("trackio")

    def begin(self, run: TrackedRun) -> None:
        self._run = self._trackio.init(
            project=self._project,
            name=f"{run.name}-{run.id[:6]}",  # other run directories may have this name
            config=dict(run.options),
            resume="allow",
        )

    def log(self, rows: Sequence[TrackedRow]) -> None:
        for row in rows:
            self._run.log(dict(row.values), step=row.step)

    def end(self, status: Literal["finished", "stopped"]) -> None:
        self._run.finish()
