"""How far training has come, and how fast it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from zoo.interfaces import Batch

__all__ = ["Clock", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Reported after each step, and with `row` after each epoch.

    Attributes:
        epoch: from 1.
        rate: items (images or tokens) per second in this epoch so far, evaluation excluded.
        left: estimated seconds of training left, at the pace of this epoch so far.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    lr: float
    rate: float
    left: float
    row: dict[str, Any] | None = None


class Clock:
    """Measure the pace of one epoch, evaluation excluded."""

    def __init__(self, epoch: int, epochs: int) -> None:
        self._epoch, self._epochs = epoch, epochs
        self._start = self._now = time.perf_counter()
        self._items = self._batches = 0
        self._last: Progress | None = None

    def tick(self, batch: Batch, loss: float, lr: float) -> Progress:
        """Record a finished batch."""
        self._now = time.perf_counter()
        self._items += batch.count
        self._batches += 1
        to_come = batch.total - batch.index - 1 + (self._epochs - self._epoch) * batch.total
        left = (self._now - self._start) / self._batches * to_come
        number = batch.index + 1
        self._last = Progress(self._epoch, self._epochs, number, batch.total, loss, lr, self._rate(), left)
        return self._last

    def end(self, row: dict[str, Any]) -> Progress:
        """Record that the epoch is finished and evaluated."""
        if self._last is None:  # resumed after its last batch, and only evaluated now
            return Progress(self._epoch, self._epochs, 0, 0, row["train"]["loss"], 0.0, 0.0, 0.0, row)
        return replace(self._last, row=row)

    def read(self) -> dict[str, float]:
        """Return the `seconds` of the epoch and its `rate` in items per second."""
        return {"seconds": round(self._now - self._start, 3), "rate": round(self._rate(), 1)}

    def _rate(self) -> float:
        return self._items / max(self._now - self._start, 1e-9)
