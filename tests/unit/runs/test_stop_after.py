"""Runs that stop after some epochs, with the schedule for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import zoo
from tests.shell import zoo as shell

SMALL = {"size": 16, "train_size": 60, "val_size": 30, "test_size": 10}
HOW: dict[str, Any] = {"data": SMALL, "epochs": 3, "batch_size": 20, "progress": False, "threads": 1}


def test_a_run_that_stopped_and_went_on_is_the_run_that_never_stopped(tmp_path: Path) -> None:
    stopped = zoo.train("mlp", "shapes", run=tmp_path / "a", stop_after=1, **HOW)
    (row,) = zoo.list_runs(stopped.directory)
    assert (row["status"], row["epochs"]) == ("stopped", 1)
    assert not (stopped.directory / "model.safetensors").exists()
    again = zoo.train("mlp", "shapes", run=tmp_path / "a", stop_after=1, resume=True, **HOW)
    assert len(again.history) == 1  # it was there already
    finished = zoo.resume(tmp_path / "a", progress=False)
    whole = zoo.train("mlp", "shapes", run=tmp_path / "b", stop_after=5, **HOW)
    ours, theirs = (load_file(run.directory / "model.safetensors") for run in (finished, whole))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert [step["lr"] for step in finished.steps] == [step["lr"] for step in whole.steps]


def test_the_command_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "mlp", "shapes", "--epochs", "3", "--quiet", "--stop-after"]
    words[3:3] = [word for key, value in SMALL.items() for word in ("--data", f"{key}={value}")]
    done = shell(*words, "1", "--run", "a")
    stopped = "stopped after epoch 1 of 3; `zoo resume a` continues the run\n"
    assert (done.returncode, done.stdout) == (0, stopped)
    answer = json.loads(shell(*words, "2", "--run", "b", "--json").stdout)
    assert (answer["status"], answer["epochs"]) == ("stopped", 2)
    assert "--stop-after must be at least 1" in shell(*words, "0", "--run", "c").stderr
