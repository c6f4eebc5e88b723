"""An exported model in an environment without torch, against zoo in full: disk space, one answer from cold.

Both are installed into new environments, from this repository and a package index; `--full` and `--runtime`
name environments that are there already. Times are the median of some turns, in turn.

    python benchmarks/runtime.py [--turns N] [--full FOLDER] [--runtime FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
NAME = "cifar10-resnet20"


def installed(folder: Path, what: str) -> Path:
    """Return an environment with a distribution of this repository, installed unless the folder exists."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", what], cwd=ROOT, check=True)
    return folder


def megabytes(folder: Path) -> float:
    """Return the size of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def seconds(command: list[str], folder: Path) -> tuple[float, str]:
    """Return how long a command takes, from start to end, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=_environment())
    return time.perf_counter() - start, done.stdout


def main() -> None:
    """Install, export, and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--full", type=Path)
    parser.add_argument("--runtime", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        full = installed(given.full or folder / "full", ".[export]")
        runtime = installed(given.runtime or folder / "runtime", "./runtime")
        sizes = megabytes(full), megabytes(runtime)
        ratio = sizes[0] / sizes[1]
        print(f"disk space: in full {sizes[0]:,.0f} MB, runtime {sizes[1]:,.0f} MB, {ratio:.1f} x")
        pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "one.png")
        export = [sys.executable, "-m", "zoo", "export", NAME, "--synthetic", "--quiet"]
        subprocess.run(export, cwd=folder, check=True, capture_output=True)
        commands = {
            "in full, weights": [str(full / "bin" / "zoo"), "predict", NAME],
            "in full, .onnx": [str(full / "bin" / "zoo"), "predict", f"{NAME}.onnx"],
            "runtime, .onnx": [str(runtime / "bin" / "zoo"), "predict", f"{NAME}.onnx"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        answers: dict[str, object] = {}
        for turn in range(given.turns + 1):
            for name, command in commands.items():
                passed, shown = seconds([*command, "one.png", "--json", "--quiet"], folder)
                answers[name] = json.loads(shown)
                taken[name] += [passed] if turn else []  # the first turn compiles modules
        slowest = statistics.median(taken["in full, weights"])
        for name, times in taken.items():
            middle = statistics.median(times)
            print(f"zoo predict one.png, {name}: {middle:.2f} s, {middle / slowest:.2f} of the first")
        same = answers["in full, .onnx"] == answers["runtime, .onnx"]
        print(f"the same answer from the same file: {'yes' if same else 'NO'}")


def _environment() -> dict[str, str]:
    """Return the environment without what would lead to another zoo."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


if __name__ == "__main__":
    main()
