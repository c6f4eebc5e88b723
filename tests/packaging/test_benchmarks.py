"""The commands behind the figures of the docs still start, and measure rather than judge."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_sets_itself_no_target(path: Path) -> None:
    assert re.findall(r"ASKED|Asked (?:are|is|for)|(?:is|are|was|were) asked", path.read_text("utf-8")) == []


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
