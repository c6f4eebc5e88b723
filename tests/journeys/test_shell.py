"""What a shell and a terminal give a command, and what it gives them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nightly.reliability.folders import hostile_folder
from tests.shell import zoo


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("zoo train lstm niet", "nietzsche"),
        ("zoo train --plugin lies_here.py nietzsche-st", "nietzsche-stateful"),
    ],
    ids=["zoo", "beside a plugin"],
)
def test_bash_completes_with_the_script(line: str, offered: str, tmp_path: Path) -> None:
    hostile_folder(tmp_path / "home", "lies_here")
    script = zoo("completion", "bash").stdout
    words = f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}"
    ask = f"{script}\n{words}; _zoo_completion zoo; printf '%s\\n' ${{COMPREPLY[@]}}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the script calls `zoo`
    done = subprocess.run(
        ["bash", "-c", ask],
        cwd=tmp_path / "home",
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [offered], done.stderr


CONFIG = """# The recipe of this run. `ZOO_REGISTRY=config.toml zoo train NAME` trains it again.
schema = 1

[recipes.x]
architecture = "charrnn/lstm"
dataset = "text/stdlib"
"""
FIRST = [
    "train lstm stdlib --epochs 1",
    "resume runs/x",
    "lr-find lstm stdlib",
    "eval cifar10-resnet20",
    "sample nietzsche-rnn",
    "analyze cam cifar10-resnet20",
    "check cam",
]
SCRIPT = """
import contextlib, io, json, sys
from zoo.cli import run
for line in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        run(line.split())
    print(json.dumps(said.getvalue()))
"""


def test_the_first_line_comes_before_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch is asked for')")
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "config.toml").write_text(CONFIG)
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(FIRST),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=True,
    )
    for typed, said in zip(FIRST, map(json.loads, done.stdout.splitlines()), strict=True):
        line, *rest = said.splitlines()
        assert re.match(r"(training|resuming|trying|evaluating|sampling|analyzing|checking) ", line), typed
        assert typed == "check cam" or "torch is asked for" in "".join(rest)
