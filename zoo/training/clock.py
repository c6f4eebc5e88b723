"""Measure the progress and speed of training."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from statistics import fmean
from typing import Any

from zoo.config.train_config import TrainConfig
from zoo.console.reports import Progress
from zoo.interfaces import Batch, Split
from zoo.registry.specs import TaskSpec

# Rows that the log of a run's steps has at most, give or take the last step of an epoch
_STEP_ROWS = 1_000
# The share of an epoch to see before its end is estimated
_ENOUGH = 0.05


class Clock:
    """Measure the speed of one epoch, excluding evaluation.

    Args:
        epoch: number of the epoch, counted from 1.
        unit: the name of the items.
        task: the task, with its metrics.
        before: the clock of the previous epoch; its evaluation time is the estimate for later evaluations.
        spent: seconds spent on the epoch before it was interrupted.
    """

    def __init__(
        self,
        epoch: int,
        config: TrainConfig,
        task: TaskSpec,
        *,
        unit: str = "",
        before: Clock | None = None,
        spent: float = 0.0,
    ) -> None:
        self._evaluation = time.perf_counter() - before._now if before else 0.0
        self._epochs, self._accumulated = config.epochs, config.grad_accum_steps
        self._start = self._now = time.perf_counter()
        self._spent = spent
        self._items = self._batches = 0
        self._losses: list[float] = []
        beside = [name for name in ("carried_loss",) if name in task.units]
        shown = (task.primary_metric, *beside, *(name.rpartition("/")[2] for name in config.metrics))
        self._last = Progress(epoch, config.epochs, unit=unit, shown=shown, units=task.units)

    def tick(self, batch: Batch, loss: float, lr: float) -> Progress:
        """Record a finished batch."""
        self._now = time.perf_counter()
        if not self._batches:
            self._warm = self._now  # the first batch takes longer
        self._items += round(batch.count / (batch.share or 1))
        self._batches += 1
        self._losses.append(loss)
        to_come = batch.total - batch.index - 1 + (self._epochs - self._last.epoch) * batch.total
        self._last = replace(
            self._last,
            batch=batch.index + 1,
            batches=batch.total,
            loss=loss,
            lr=lr,
            rate=self._rate(),
            left=self._left(to_come, batch.total),
        )
        return self._last

    def _left(self, to_come: int, total: int) -> float | None:
        """Return the estimated seconds for the remaining batches and evaluations; None if unknown."""
        if self._batches < max(2, _ENOUGH * total):
            return None
        evaluations = self._epochs - self._last.epoch + 1
        return (self._now - self._warm) / (self._batches - 1) * to_come + self._evaluation * evaluations

    def step_row(self, steps: int) -> dict[str, Any] | None:
        """Return the log row of the optimizer step just taken; None for most steps of a long run.

        Which steps are logged depends only on their numbers, so a resumed run logs the same steps.

        Args:
            steps: number of optimizer steps.
        """
        last, loss = self._last, fmean(self._losses)
        self._losses = []
        every = math.ceil(last.batches * self._epochs / (self._accumulated * _STEP_ROWS))
        if steps % every:
            return None
        row = {"epoch": last.epoch, "step": steps, "loss": loss, "lr": last.lr, "rate": round(last.rate, 1)}
        return row | {"time": _unix_time()}

    def evaluating(self, split: Split, done: int, total: int) -> Progress:
        """Return the progress of the evaluation after the epoch."""
        return replace(self._last, split=split, done=done, total=total)

    def end(self, row: dict[str, Any], best: int | None) -> Progress:
        """Return the progress report for the finished and evaluated epoch."""
        return replace(self._last, row=row, best=best)

    @property
    def seconds(self) -> float:
        """The training time of the epoch so far, with the time before an interruption."""
        return self._spent + self._now - self._start

    def read(self) -> dict[str, float]:
        """Return the epoch's training `seconds`, its `rate` in items per second, and the Unix `time`."""
        seconds, rate = self.seconds, self._rate()
        return {"seconds": round(seconds, 3), "rate": round(rate, 1), "time": _unix_time()}

    def _rate(self) -> float:
        return self._items / max(self._now - self._start, 1e-9)


def _unix_time() -> float:
    """Return the time in seconds since 1970; 0 if the clock is set to an earlier date."""
    return max(round(time.time(), 3), 0.0)
