"""Optimizers with train() and eval(), such as schedule-free ones, train other weights than they evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from tests.methods import __file__ as methods
from zoo import Registry
from zoo.training.readings import Readings
from zoo.training.state import TrainState
from zoo.training.step import update_weights

SMALL: dict[str, Any] = {
    "data": {"size": 16, "train_size": 60, "val_size": 20, "test_size": 20},
    "model": {"widths": [4]},
    "batch_size": 20,
    "lr": 0.1,
    "threads": 1,
    "epochs": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover(files=[methods])


def test_the_weights_that_eval_sets_are_measured_and_saved_and_the_others_trained(
    registry: Registry, tmp_path: Path
) -> None:
    options: dict[str, Any] = {**SMALL, "registry": registry, "save_every": "1"}
    tripled, plain = (
        zoo.train("mlp", "shapes", run=tmp_path / name, optimizer=name, **options)
        for name in ("tripled", "plain")
    )
    assert [row["train"] for row in tripled.history] == [row["train"] for row in plain.history]
    measured = tripled.last.evaluate("val", progress=False)["metrics"]
    assert tripled.history[-1]["val"].items() <= measured.items()
    for file in ("model.safetensors", "checkpoint.safetensors", "checkpoint.previous.safetensors"):
        ours, theirs = (zoo.load(run.directory / file).module.state_dict() for run in (tripled, plain))
        assert all(torch.equal(ours[name], 3 * theirs[name]) for name in ours)


def test_a_state_that_is_captured_before_the_first_step_can_be_saved_later(registry: Registry) -> None:
    """As by several processes, whose first sends its state to the others; eval() and train() look at it."""
    config = registry.default_config("classification")
    config = config.replace({"optimizer": "methods/schedule-free", "momentum": 0.9})
    state = TrainState.begin(nn.Linear(2, 1), config, precision="fp32", device="cpu")
    state.take_average()
    state.capture()
    state.model(torch.ones(1, 2)).backward()
    update_weights(state, config, 0.1, Readings())
    assert any(name.endswith("/z") for name in state.capture()[0])


@pytest.mark.parametrize(("option", "value"), [("ema_decay", 0.5), ("nonmono", 2)])
def test_a_second_average_is_refused_before_anything_is_written(
    option: str, value: float, registry: Registry, tmp_path: Path
) -> None:
    options: dict[str, Any] = {**SMALL, "optimizer": "schedule-free", option: value}
    line = f"^{option}={value} cannot be combined with optimizer methods/schedule-free, .*; set {option}=0$"
    with pytest.raises(zoo.OptionError, match=line):
        zoo.train("mlp", "shapes", run=tmp_path / "run", registry=registry, **options)
    assert not (tmp_path / "run").exists()
