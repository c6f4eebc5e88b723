"""Training progress as plain data for the display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress report: after each step, during evaluation (with `split`) or after an epoch (with `row`).

    Attributes:
        epoch: number of the epoch, starting at 1; 0 for the starting weights.
        rate: items (images or tokens) per second in this epoch so far, excluding evaluation.
        left: estimated seconds of training left, including evaluation; None until 5% of an epoch is done.
        split: the split that is being evaluated, `done` of its `total` items so far.
        unit: the name of the items, such as `images`.
        shown: the metrics to show: the primary metric, and those that the training names.
        units: the units of metrics; see `TaskSpec.units`.
        best: the epoch with the best validation result so far; None without validation.
    """

    epoch: int
    epochs: int
    batch: int = 0
    batches: int = 0
    loss: float = 0.0
    lr: float = 0.0
    rate: float = 0.0
    left: float | None = None
    row: dict[str, Any] | None = None
    split: str | None = None
    done: int = 0
    total: int = 0
    unit: str = ""
    shown: Sequence[str] = ("loss",)
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    best: int | None = None

    @property
    def is_step(self) -> bool:
        """Whether the report is about a training batch."""
        return self.row is None and self.split is None
