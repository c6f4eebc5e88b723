"""Exported files where torch cannot be imported: the same commands, options and answers as where it can."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rtoml
from PIL import Image

import zoo
from tests.shell import zoo as typed

BLOCK = """
import sys
for name in ("torch", "torchvision", "torchtext", "matplotlib"): sys.modules[name] = None
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with exported models, images and a text."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("cifar10-mlp", "nietzsche-rnn"):
        zoo.load(name, progress=False).export(folder / f"{name}.onnx", synthetic=True, progress=False)
    draws = np.random.default_rng(0)
    for number in range(5):
        pixels = draws.integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "text.txt").write_text("What does not kill me makes me stronger.", encoding="utf-8")
    return folder


COMMANDS = [
    "predict cifar10-mlp.onnx . nope.png --top 3 --json",
    "predict cifar10-mlp.onnx 0.png 1.png --min-confidence 0.5",
    "predict cifar10-mlp.onnx . --out WHERE.csv --top 2",
    "predict cifar10-mlp.onnx *.png",
    "predict nietzsche-rnn.onnx text.txt --json",
    "sample nietzsche-rnn.onnx --prompt What --max-new-tokens 80 --seed 3",
    "sample nietzsche-rnn.onnx --max-new-tokens 30 --samples 2 --top-p 0.9 --json",
    "inspect cifar10-mlp.onnx",
    "inspect nietzsche-rnn.onnx --json",
    "embed cifar10-mlp.onnx 0.png nope.png --json",
    "embed nietzsche-rnn.onnx text.txt --no-pool --json",
]
MANY = """
import contextlib, io, json, sys
from zoo.cli import run
for line in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line.split())
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def without_torch(lines: Sequence[str], folder: Path) -> list[tuple[int, str, str]]:
    """Return the exit codes, stdout and stderr of commands, all in one process without torch."""
    answers = python(MANY, folder, given=json.dumps(lines)).splitlines()
    return [tuple(answer) for answer in map(json.loads, answers)]


def python(code: str, folder: Path, given: str = "") -> str:
    """Return what some code prints where there is no torch."""
    command = [sys.executable, "-c", BLOCK + code]
    return subprocess.run(command, input=given, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_command_does_the_same(folder: Path, tmp_path: Path) -> None:
    """What torch computes with is this process."""
    ours, theirs = tmp_path / "with", tmp_path / "without"
    answers = without_torch([line.replace("WHERE", str(theirs)) for line in COMMANDS], folder)
    for line, (code, out, err) in zip(COMMANDS, answers, strict=True):
        here = typed(*line.replace("WHERE", str(ours)).split(), cwd=folder)
        assert (code, out.replace(str(theirs), str(ours))) == (here.returncode, here.stdout), line
        assert err == here.stderr, line
        assert out
    assert ours.with_suffix(".csv").read_bytes() == theirs.with_suffix(".csv").read_bytes()
    assert ours.with_suffix(".csv").read_bytes().count(b"\n") == 6


def test_python_answers_without_torch(folder: Path) -> None:
    code = """
import json
import numpy as np, zoo
model = zoo.load("cifar10-mlp.onnx")
image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
print(json.dumps([*model.predict([image, "0.png"], progress=False)]))
"""
    rows: list[Any] = json.loads(python(code, folder))
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    here = zoo.load(folder / "cifar10-mlp.onnx").predict([image, folder / "0.png"], progress=False)
    assert [row["predictions"] for row in rows] == [row["predictions"] for row in here]


def test_help_lists_only_commands_that_work(folder: Path) -> None:
    ((code, out, err),) = without_torch(["--help"], folder)
    assert (code, err) == (0, "")
    listed = re.findall(r"^  ([a-z-]+)  ", out.partition("Commands:")[2], flags=re.M)
    assert {"predict", "sample", "embed", "inspect"} <= {*listed}
    assert not {"train", "eval", "export", "serve"} & {*listed}


def test_what_needs_torch_says_so_once(folder: Path) -> None:
    lines = ["train mlp shapes", "eval cifar10-mlp.onnx", "predict cifar10-mlp 0.png", "check charrnn"]
    for line, (code, out, err) in zip(lines, without_torch(lines, folder), strict=True):
        assert (code, out) == (1, ""), line
        assert "zoo: this command requires torch, which is not installed" in err
        assert err.count("torch") == 1
    assert not (folder / "runs").exists()


def test_no_hint_names_a_command_that_needs_torch(tmp_path: Path) -> None:
    """As with zoo-runtime, whose package has the registry but no weights."""
    weights = {"recipe": "fox", "file": "fox.safetensors", "sha256": "0" * 64, "bytes": 1, "params": 1}
    recipe = {"architecture": "lstm", "dataset": "files"}
    content = {"schema": 1, "recipes": {"fox": recipe}, "weights": {"fox": {**weights, "metrics": {}}}}
    (tmp_path / "registry.toml").write_text(rtoml.dumps(content))
    found = without_torch(["sample fox", "predict ./ x.png"], tmp_path)
    for (_, _, err), what in zip(
        found, ("the weights file of fox (1 bytes) is not on", "is a folder"), strict=True
    ):
        assert what in err
        assert err.endswith("zoo reads only files that `zoo export` wrote on a machine with torch\n")


def test_nothing_that_an_exported_file_needs_imports_torch(folder: Path) -> None:
    code = """
import sys
from zoo.cli import run
run(["predict", "cifar10-mlp.onnx", "0.png", "-q"])
run(["sample", "nietzsche-rnn.onnx", "--max-new-tokens", "10", "-q"])
run(["inspect", "nietzsche-rnn.onnx", "-q"])
print("torch" in sys.modules, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "False"
