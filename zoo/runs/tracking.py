"""The interface of trackers, which send the logs of a run to other tools. Does not import torch.

A tracker runs in a separate process, `zoo track`, which reads the rows of a run as they are written. It
therefore cannot change, slow or stop the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A run for a tracker. Resuming a run with different options starts a new `TrackedRun`.

    Attributes:
        name: display name: that of the run directory, with `-part-2` after the first change of options.
        id: 32 hexadecimal digits that identify the run in the tracker's store.
        directory: the run directory.
        part: number of the run in this directory, from 1.
        options: the run's options, such as `{"dataset": "images/shapes", "lr": 0.1, "model.depth": 20}`.
    """

    name: str
    id: str
    directory: Path
    part: int
    options: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRow:
    """The metrics of a step, or of the epoch that ends with this step.

    Attributes:
        step: number of the optimizer step, from 1.
        time: time at which the row was logged, in seconds since 1970.
        values: metrics by name: `loss`, `lr` and `rate` of a step; `train/loss`, `val/accuracy` and others
            of an epoch.
    """

    step: int
    time: float
    values: Mapping[str, float]


class Tracker(ABC):
    """Sends a run to an experiment tracker. The target of a TrackerSpec returns an instance."""

    @abstractmethod
    def begin(self, run: TrackedRun) -> int | None:
        """Begin a run, or continue the one with the same `id`.

        Returns the last step whose rows are all stored, or 0 if there is none; zoo sends all later rows.
        Returns None if the store cannot be queried: zoo then remembers which rows it has sent, and sends some
        of them again after a crash.
        """

    @abstractmethod
    def log(self, rows: Sequence[TrackedRow]) -> None:
        """Store rows, in order. A step that ends an epoch has two rows with different metrics."""

    @abstractmethod
    def end(self, status: Literal["finished", "stopped"]) -> None:
        """Wait until all rows are stored, and end the run. A stopped run may continue later."""
