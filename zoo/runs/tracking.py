"""The interface of trackers, which show a run elsewhere, from the files in its directory. Needs no torch.

A tracker runs in a process of its own, `zoo track`, which reads the rows of a run as they are written. It
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
    """A run for a tracker. A new one begins if a run is resumed with other options.

    Attributes:
        name: name to display: that of the run directory, with `-part-2` after the first change of options.
        id: 32 hexadecimal digits, which identify the run in the tracker's store.
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
        time: when it was logged, in seconds since 1970.
        values: metrics by name: `loss`, `lr` and `rate` of a step; `train/loss`, `val/accuracy` and others
            of an epoch.
    """

    step: int
    time: float
    values: Mapping[str, float]


class Tracker(ABC):
    """Sends a run to an experiment tracker. The target of a TrackerSpec names a callable that returns one."""

    @abstractmethod
    def begin(self, run: TrackedRun) -> int | None:
        """Begin a run, or continue the one with the same `id`.

        Returns the last step whose rows the store has in full, 0 if it has none; zoo sends all later rows.
        Returns None if the store cannot be asked: zoo then remembers which rows it has sent, and sends some
        of them again after a crash.
        """

    @abstractmethod
    def log(self, rows: Sequence[TrackedRow]) -> None:
        """Store rows, in order. A step at the end of an epoch has two rows, with different metrics."""

    @abstractmethod
    def end(self, status: Literal["finished", "stopped"]) -> None:
        """End the run; wait until all rows are stored. A stopped run may continue later."""
