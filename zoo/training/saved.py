"""The metadata of a checkpoint: typed, bounded and consistent, no matter who wrote the file.

Like weights, a checkpoint may be forged, so these types check all of its metadata. `TrainState.restore`
checks the metadata against the model, its optimizer and its data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from zoo.config.recipe import Recipe
from zoo.config.train_config import SPLITS

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e18)]
# A part of a hidden state: a number, or TENSOR for one that is among the tensors
TENSOR = "tensor"
Leaf = None | bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | Literal["tensor"]


class Pace(TypedDict):
    """The duration of an epoch in seconds, its rate in items per second, and the Unix time of its end."""

    seconds: Seconds
    rate: Seconds
    time: NotRequired[Seconds]


class Row(TypedDict):
    """A finished epoch: its number (from 1), the total number of steps, and the metrics by split.

    The row of epoch 0 has the validation metrics of the weights that training started from.
    """

    epoch: Count
    steps: Count
    train: NotRequired[dict[str, float]]
    val: NotRequired[dict[str, float]]
    test: NotRequired[dict[str, float]]
    clock: Pace


def named_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of an epoch by name, such as `val/loss`."""
    return {f"{split}/{name}": row[split][name] for split in SPLITS for name in row.get(split, ())}


def check_rows(history: Sequence[Mapping[str, Any]], primary_metric: str) -> None:
    """Raise ValueError unless each epoch has a row, in order, with the loss and the primary metric."""
    first = 0 if history and history[0]["epoch"] == 0 else 1
    for number, row in enumerate(history, first):
        if row["epoch"] != number:
            raise ValueError(f"expected epoch {number}, found {row['epoch']}")
        if number and "train" not in row:
            raise ValueError(f"epoch {number} has no train metrics")
        for split in SPLITS:
            for name in ("loss", primary_metric):
                if split in row and name not in row[split]:
                    raise ValueError(f"epoch {number} has no {split} {name}")


class StepRow(TypedDict):
    """An optimizer step: epoch (from 1), step, loss, learning rate, items per second, and Unix time."""

    epoch: Count
    step: Count
    loss: float
    lr: float
    rate: Seconds
    time: NotRequired[Seconds]


class RunIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity of a run, compared when the run is resumed.

    Attributes:
        recipe: the recipe with all options.
        fingerprint: fingerprint of the data and of the weights that the run starts from.
        base_model: description of the weights that the run starts from, as in a card; kept in case the
            weights are deleted.
        cpu: the CPU instructions that torch uses, such as `AVX2`. A run may continue on another CPU, but
            rounding may differ.
    """

    recipe: Recipe
    fingerprint: str = ""
    base_model: dict[str, str] = {}
    cpu: str = ""


class Position(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The position of a run in training; see `TrainState` for the attributes."""

    epoch: Count = 0
    batch: Count = 0
    steps: Count = 0
    seconds: Seconds = 0.0
    count: Count = 0
    averaged_from: Count = 0


class Scaler(TypedDict):
    """The state of torch's GradScaler."""

    scale: Annotated[float, Meta(gt=0, le=1e38)]
    growth_factor: Annotated[float, Meta(gt=1, le=1e3)]
    backoff_factor: Annotated[float, Meta(gt=0, lt=1)]
    growth_interval: Annotated[int, Meta(ge=1, le=2**31)]
    _growth_tracker: Annotated[int, Meta(ge=0, le=2**31)]


class SavedState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data that `TrainState.capture` returns besides tensors.

    Attributes:
        history: one row per finished epoch, perhaps after that of epoch 0.
        carried: the parts of the hidden state; tensors among them are stored as `carried/0`, `carried/1`, ...
        scaler: state of the loss scaler; None unless training uses fp16.

    Raises ValueError if the position, the history and the hidden state are inconsistent.
    """

    position: Position = Position()
    history: list[Row] = []
    carried: list[Leaf] = []
    scaler: Scaler | None = None

    def __post_init__(self) -> None:
        at, rows = self.position, self.history
        first = 0 if rows and rows[0]["epoch"] == 0 else 1
        if len(rows) + first - 1 != at.epoch or any(row["epoch"] != n for n, row in enumerate(rows, first)):
            raise ValueError(f"history must have one row for each of the {at.epoch:,} finished epochs")
        steps = [0, *(row["steps"] for row in rows), at.steps]
        if any(before > after for before, after in pairwise(steps)):
            raise ValueError("steps must not decrease from one epoch to the next")
        if at.averaged_from > at.steps:
            raise ValueError(f"averaged_from={at.averaged_from:,} must not exceed steps={at.steps:,}")
        if bool(at.batch) != bool(at.count) or (not at.batch and self.carried):
            raise ValueError("count and carried are not consistent with batch")


class CheckpointInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of a checkpoint.

    Attributes:
        changes: options that changed during the run, and the point at which each change was made.
        sha256: sha256 of the tensor bytes.
    """

    schema: int
    identity: RunIdentity
    changes: tuple[str, ...]
    sha256: str
    state: SavedState
