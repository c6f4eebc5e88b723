"""A run's checkpoints: the newest that is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo.config.recipe import Recipe
from zoo.errors import RunError, ZooWarning
from zoo.files.container import write_container
from zoo.models import weights
from zoo.runs.checkpoint import Checkpoints
from zoo.training.saved import Position, RunIdentity, SavedState

IDENTITY = RunIdentity(
    recipe=Recipe(architecture="a", dataset="b", threads=1), fingerprint="f", base_model={"sha256": "0" * 64}
)


def write(checkpoints: Checkpoints, value: float, identity: RunIdentity = IDENTITY) -> None:
    packed = weights.pack({"x": torch.tensor([value])})
    state = SavedState(position=Position(steps=int(value)))
    checkpoints.write(packed, state, identity, ("a change",))


def value(checkpoints: Checkpoints) -> float:
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.tensors["x"].item() == newest.info.state.position.steps
    return newest.info.state.position.steps


def test_a_checkpoint_of_no_threads_is_damaged(tmp_path: Path) -> None:
    forged = RunIdentity(recipe=Recipe(architecture="a", dataset="b", threads=0))
    write(Checkpoints(tmp_path), 1.0, forged)
    message = r"checkpoint.safetensors is damaged: threads must be at least 1 \(got 0\)(?m:$)"
    with pytest.raises(RunError, match=message):
        Checkpoints(tmp_path).newest()
    write(Checkpoints(tmp_path), 2.0)
    write(Checkpoints(tmp_path), 3.0, forged)
    with pytest.warns(
        ZooWarning, match="damaged: threads must be .*; continuing from the previous checkpoint$"
    ):
        assert value(Checkpoints(tmp_path)) == 2.0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "is not a zoo checkpoint(?m:$)"),
        ({"zoo-checkpoint": "{"}, "is not a zoo checkpoint(?m:$)"),
        (
            {"zoo-checkpoint": "{}"},
            "is a checkpoint with schema None, but this version of zoo reads schema 10(?m:$)",
        ),
        (
            {"zoo-checkpoint": '{"schema": 4}'},
            "is a checkpoint with schema 4, but this version of zoo reads schema 10(?m:$)",
        ),
        (
            {"zoo-checkpoint": '{"schema": 10}'},
            "is not a zoo checkpoint: .*missing required field `?identity",
        ),
    ],
)
def test_another_file_in_its_place_is_refused(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    write_container(tmp_path / "checkpoint.safetensors", [], metadata)
    with pytest.raises(RunError, match=message):
        Checkpoints(tmp_path).newest()
