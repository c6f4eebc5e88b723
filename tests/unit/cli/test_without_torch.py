"""Exported files where torch cannot be imported: the same commands, options and answers as where it can."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo

WITHOUT = """
import sys
for name in ("torch", "torchvision", "torchtext", "matplotlib"): sys.modules[name] = None
from zoo.__main__ import main
main()
"""

Zoo = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with exported models, images and a text."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("cifar10-mlp", "scenes-convnet-bn", "nietzsche-rnn"):
        zoo.load(name, progress=False).export(folder / f"{name}.onnx", synthetic=True, progress=False)
    draws = np.random.default_rng(0)
    for number in range(5):
        pixels = draws.integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "text.txt").write_text("What does not kill me makes me stronger.", encoding="utf-8")
    return folder


def run(arguments: tuple[str, ...], folder: Path, *start: str) -> subprocess.CompletedProcess[str]:
    """Run zoo in a process of its own."""
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "cifar10-mlp.onnx", ".", "nope.png", "--top", "3", "--json"),
        ("predict", "cifar10-mlp.onnx", "0.png", "1.png", "--min-confidence", "0.5"),
        ("predict", "scenes-convnet-bn.onnx", "*.png", "--json"),
        ("predict", "nietzsche-rnn.onnx", "text.txt", "--json"),
        ("sample", "nietzsche-rnn.onnx", "--prompt", "What ", "--max-new-tokens", "80", "--seed", "3"),
        (
            "sample",
            "nietzsche-rnn.onnx",
            "--max-new-tokens",
            "30",
            "--samples",
            "2",
            "--top-p",
            "0.9",
            "--json",
        ),
        ("inspect", "cifar10-mlp.onnx"),
        ("inspect", "nietzsche-rnn.onnx", "--json"),
        ("eval", "cifar10-mlp.onnx"),
        ("embed", "cifar10-mlp.onnx", "0.png", "nope.png", "--json"),
        ("embed", "nietzsche-rnn.onnx", "text.txt", "--no-pool", "--json"),
    ],
    ids=" ".join,
)
def test_a_command_does_the_same(arguments: tuple[str, ...], folder: Path) -> None:
    with_torch = run(arguments, folder, "-m", "zoo")
    without = run(arguments, folder, "-c", WITHOUT)
    assert (without.returncode, without.stdout) == (with_torch.returncode, with_torch.stdout)
    assert without.stderr == with_torch.stderr
    assert without.stdout or "is an exported file, which can only predict, embed and sample" in without.stderr


def test_a_file_of_answers_is_the_same(folder: Path, tmp_path: Path) -> None:
    written: list[bytes] = []
    for start in (("-m", "zoo"), ("-c", WITHOUT)):
        out = tmp_path / f"{len(written)}.csv"
        done = run(("predict", "cifar10-mlp.onnx", ".", "--out", str(out), "--top", "2"), folder, *start)
        assert done.returncode == 0, done.stderr
        written.append(out.read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 6


def test_python_answers_without_torch(folder: Path) -> None:
    code = """
import sys, json
sys.modules["torch"] = None
import numpy as np, zoo
model = zoo.load("cifar10-mlp.onnx")
image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
print(json.dumps([*model.predict([image, "0.png"], progress=False)]))
"""
    rows = json.loads(run((), folder, "-c", code).stdout)
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    here = zoo.load(folder / "cifar10-mlp.onnx").predict([image, folder / "0.png"], progress=False)
    assert [row["predictions"] for row in rows] == [row["predictions"] for row in here]


@pytest.mark.parametrize(
    "arguments",
    [("train", "mlp", "shapes"), ("eval", "cifar10-mlp"), ("predict", "cifar10-mlp", "0.png")],
    ids=" ".join,
)
def test_what_needs_torch_says_so(arguments: tuple[str, ...], folder: Path) -> None:
    done = run(arguments, folder, "-c", WITHOUT)
    assert done.returncode == 1
    assert "zoo: this requires torch, which is not installed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "runs").exists()


def test_nothing_that_an_exported_file_needs_imports_torch(folder: Path) -> None:
    code = """
import sys
from zoo.cli import run
run(["predict", "cifar10-mlp.onnx", "0.png", "-q"])
run(["sample", "nietzsche-rnn.onnx", "--max-new-tokens", "10", "-q"])
run(["inspect", "nietzsche-rnn.onnx", "-q"])
print("torch" in sys.modules, file=sys.stderr)
"""
    assert run((), folder, "-c", code).stderr.splitlines()[-1] == "False"


def test_the_kit_says_once_that_it_requires_torch(folder: Path) -> None:
    done = run(("check", "charrnn"), folder, "-c", WITHOUT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "zoo: this requires torch, which is not installed" in done.stderr
    assert done.stderr.count("torch") == 1
