"""The commands behind the figures of the docs still start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_each_benchmark_is_a_program_that_starts() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    code = "import importlib, sys\nfor name in sys.argv[1:]: print(name); importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=FOLDER,
        env={"PYTHONPATH": f"{FOLDER}:{FOLDER.parent}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, names), done.stderr
