"""The interface through which the loop saves a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from zoo.training.state import TrainState


class Store(Protocol):
    """A place to save a run, such as a run directory."""

    @property
    def path(self) -> Path | None:
        """The run directory; None if there is none."""
        return None

    def restore(self, state: TrainState, *, device: str) -> None:
        """Restore `state` from the last save, if there is one; see `TrainState.restore`."""

    def due(self, state: TrainState) -> bool:
        """Return whether to save now, after a step within an epoch."""
        return False

    def save(self, state: TrainState) -> None:
        """Save the run."""

    def keep_best(self, state: TrainState) -> None:
        """Save the current weights as the best so far by validation."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Log the row of an optimizer step."""


class NoStore(Store):
    """A store that discards everything."""
