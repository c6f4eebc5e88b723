"""The metadata of a checkpoint: typed, bounded and consistent, no matter who wrote the file.

A checkpoint may be forged, just like weights, so all of its metadata is checked by these types.
`TrainState.restore` checks it against the model, its optimizer and its data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from zoo.config.recipe import Recipe
from zoo.interfaces import SPLITS

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0)]
# A part of a hidden state: a number, or TENSOR for one that is among the tensors
TENSOR = "tensor"
Leaf = None | bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | Literal["tensor"]


class Pace(TypedDict):
    """The duration of an epoch in seconds, and its rate in items per second."""

    seconds: Seconds
    rate: Seconds


class Row(TypedDict):
    """One finished epoch: its number from 1, the optimizer steps done after it, and its metrics by split."""

    epoch: Count
    steps: Count
    train: dict[str, float]
    val: NotRequired[dict[str, float]]
    test: NotRequired[dict[str, float]]
    clock: Pace


def check_rows(history: Sequence[Mapping[str, Any]], primary_metric: str) -> None:
    """Raise ValueError unless each epoch has a row, in order, with the loss and the primary metric."""
    for number, row in enumerate(history, 1):
        if row["epoch"] != number:
            raise ValueError(f"the rows of its epochs are out of order: {row['epoch']} instead of {number}")
        for split in SPLITS:
            for name in ("loss", primary_metric):
                if split in row and name not in row[split]:
                    raise ValueError(f"epoch {number} has no {name} on {split}")


class StepRow(TypedDict):
    """One optimizer step: the epoch from 1, the steps done, the loss, learning rate, items/s."""

    epoch: Count
    step: Count
    loss: float
    lr: float
    rate: Seconds


class RunIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity of a run, compared when the run is resumed.

    Attributes:
        recipe: the recipe with all options.
        fingerprint: fingerprint of the data and of the weights that the run starts from.
        base_model: the weights that the run starts from, in the form of a card; kept in case they are
            deleted.
        cpu: the CPU instructions that torch uses, such as `AVX2`. A run may continue on another CPU, but
            rounding may differ.
    """

    recipe: Recipe
    fingerprint: str = ""
    base_model: dict[str, str] = {}
    cpu: str = ""


class Position(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The position of a training; the attributes are as in `TrainState`."""

    epoch: Count = 0
    batch: Count = 0
    steps: Count = 0
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
        history: one row per finished epoch.
        carried: the parts of the hidden state; tensors among them are `carried/0`, `carried/1`, ...
        scaler: None unless training is in fp16.

    Raises ValueError if position, history and hidden state contradict each other.
    """

    position: Position = Position()
    history: list[Row] = []
    carried: list[Leaf] = []
    scaler: Scaler | None = None

    def __post_init__(self) -> None:
        at, rows = self.position, self.history
        if len(rows) != at.epoch or any(row["epoch"] != number for number, row in enumerate(rows, 1)):
            raise ValueError(f"history must have one row for each of the {at.epoch:,} epochs done")
        steps = [0, *(row["steps"] for row in rows), at.steps]
        if any(before > after for before, after in pairwise(steps)):
            raise ValueError("steps must not decrease from one epoch to the next")
        if at.averaged_from > at.steps:
            raise ValueError(f"averaged_from={at.averaged_from:,} must not exceed steps={at.steps:,}")
        if bool(at.batch) != bool(at.count) or (not at.batch and self.carried):
            raise ValueError("count and carried belong to the batches done in the epoch")


class CheckpointInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of a checkpoint.

    Attributes:
        changes: options changed during the run, and when.
        sha256: sha256 of the tensor bytes.
    """

    schema: int
    identity: RunIdentity
    changes: tuple[str, ...]
    sha256: str
    state: SavedState
