"""`--compile`."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

TEXT = "a rolling stone gathers no moss. " * 60


@pytest.mark.slow  # half a minute
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch imports its own
def test_a_compiled_model_learns_the_same(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    given = {"data": {"paths": str(tmp_path / "text.txt")}, "model": {"hidden_size": 16}, "seed": 1}
    fields = {"batch_size": 4, "bptt": 16, "precision": "fp32", "threads": 1, "progress": False}
    losses: dict[bool, float] = {}
    for compile_ in (False, True):
        run = zoo.train(
            "rnn", "files", run=tmp_path / f"{compile_}", compile=compile_, epochs=2, **given, **fields
        )
        losses[compile_] = run.history[-1]["val"]["loss"]
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
    assert losses[True] < math.log(len(set(TEXT)))


@pytest.mark.slow  # torch.compile is imported
def test_a_missing_compiler_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    command = [
        "train",
        "min-gru",
        "files",
        "--data",
        f"paths={tmp_path / 'text.txt'}",
        "--compile",
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
