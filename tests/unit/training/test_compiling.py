"""`--compile`."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.profiler import ProfilerActivity, profile

import zoo
from zoo.errors import Interrupted, OptionError, ZooWarning
from zoo.training import loop
from zoo.training.state import TrainState

TEXT = "a rolling stone gathers no moss. " * 60


@pytest.mark.nightly  # half a minute
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch imports its own
def test_a_compiled_model_learns_the_same(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    given = {"data": {"paths": str(tmp_path / "text.txt")}, "model": {"hidden_size": 16}, "seed": 1}
    fields = {
        "batch_size": 4,
        "bptt": 16,
        "bptt_jitter": False,
        "precision": "fp32",
        "threads": 1,
        "progress": False,
    }
    losses: dict[bool, float] = {}
    for compile_ in (False, True):
        run = zoo.train(
            "rnn-cell", "files", run=tmp_path / f"{compile_}", compile=compile_, epochs=2, **given, **fields
        )
        losses[compile_] = run.history[-1]["val"]["loss"]
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
    assert losses[True] < math.log(len(set(TEXT)))


def compiled_regions(run: Path, *, stopped: bool = False) -> list[int]:
    """Train a small classifier, whose last batch is smaller; return the compiled regions of each step.

    Args:
        stopped: stop it in its second epoch, and continue it in a process of its own.
    """
    data = {"train_size": 50, "val_size": 16, "test_size": 0, "size": 16}
    fields = {"epochs": 2, "batch_size": 16, "precision": "fp32", "compile": True, "threads": 1}
    torch.compiler.reset()
    counts: list[int] = []
    train_step = loop.train_step

    def step(state: TrainState, *args: Any, **options: Any) -> torch.Tensor:
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            loss = train_step(state, *args, **options)
        counts.append(sum("Torch-Compiled Region" in event.name for event in seen.events() or ()))
        if stopped and (state.epoch, state.batch) == (1, 1):
            signal.raise_signal(signal.SIGTERM)
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", step)
        given = {"data": data, "run": run, "seed": 1, "device": "cpu", "progress": False}
        zoo.train("mlp", "shapes", **given, **fields)
    return counts


@pytest.mark.nightly  # torch.compile is imported
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_stays_compiled_after_a_validation_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    counts = compiled_regions(tmp_path / "whole")
    with pytest.raises(Interrupted):
        compiled_regions(tmp_path / "stopped", stopped=True)
    command = [sys.executable, "-m", "zoo", "resume", str(tmp_path / "stopped"), "--device", "cpu", "--quiet"]
    subprocess.run(command, check=True)
    assert counts == [1] * 8
    whole, resumed = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())


@pytest.mark.nightly  # torch.compile is imported
def test_a_missing_compiler_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    command = [
        "train",
        "min-gru",
        "files",
        "--data",
        f"paths={tmp_path / 'text.txt'}",
        "--compile",
        "--no-bptt-jitter",
        "--quiet",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *command, "--run", str(tmp_path / "run")],
        env=os.environ | {"CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "zoo: torch.compile failed: " in done.stderr
    assert "train without --compile" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_with_a_recurrent_layer_of_torch_is_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    given = {"data": {"paths": str(tmp_path / "text.txt")}, "model": {"hidden_size": 8}, "device": "cpu"}
    fields = {"batch_size": 4, "bptt_jitter": False, "compile": True, "epochs": 1, "progress": False}
    monkeypatch.setattr("zoo.training.step.begin_compiled_step", lambda: pytest.fail("it is compiled"))
    with pytest.warns(ZooWarning) as seen:
        zoo.train("gru", "files", run=tmp_path / "run", **given, **fields)
    told = [str(each.message) for each in seen if "compile" in str(each.message)]
    assert told == [
        "the model is not compiled: torch.compile does not support gru, a PyTorch recurrent layer"
    ]


def test_lengths_that_vary_are_not_compiled(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    with pytest.raises(OptionError, match="bptt_jitter=true cannot be combined with compile") as caught:
        zoo.train(
            "min-gru",
            "files",
            data={"paths": str(tmp_path / "text.txt")},
            run=tmp_path / "run",
            compile=True,
            batch_size=4,
            progress=False,
        )
    assert caught.value.hint == "try --no-bptt-jitter"
    assert not (tmp_path / "run").exists()
