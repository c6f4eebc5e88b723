"""Train the architecture under check as `zoo train` does: with zoo's step and checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig
from zoo.interfaces import make_task
from zoo.models.precision import Precision
from zoo.models.weights import pack
from zoo.runs.checkpoint import Checkpoints
from zoo.testing._case import Case
from zoo.testing._models import build, drawing_from, train_batch
from zoo.training.saved import RunIdentity
from zoo.training.saved_hidden_state import leaves_of, nested
from zoo.training.state import TrainState
from zoo.training.step import train_step

_CONFIG = TrainConfig()


def begin(case: Case, *, precision: Precision = "fp32") -> TrainState:
    """Return the state of a fresh model before its first step."""
    return TrainState.begin(build(case), _CONFIG, precision=precision, device="cpu")


def train_one_step(case: Case, state: TrainState) -> float:
    """Train for one more step from the carried state, and return the loss."""
    number = state.batch
    batch = dataclasses.replace(
        train_batch(case), index=number, total=number + 2, seed=number, fresh=number == 0
    )
    task = make_task(case.registry, case.spec.task)
    with drawing_from(0):
        loss = train_step(state, task, batch, _CONFIG, _CONFIG.lr)
    return float(loss)


def restored(case: Case, state: TrainState, folder: Path) -> TrainState:
    """Write a state to a checkpoint in a folder, read it again, and return a fresh state made from it.

    Raises ZooError or any other error that prevents saving.
    """
    tensors, saved = state.capture()
    identity = RunIdentity(recipe=Recipe(architecture=case.entry.name, dataset="tiny", threads=1))
    Checkpoints(folder).write(pack(tensors), saved, identity, ())
    checkpoint = Checkpoints(folder).newest()
    assert checkpoint is not None
    fresh = begin(case)
    fresh.restore(checkpoint.tensors, checkpoint.info.state, device="cpu")
    fresh.carried = nested(leaves_of(fresh.carried), state.carried)
    return fresh
