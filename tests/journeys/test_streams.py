"""Streams that are closed, full, not read, or read by something else than a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_in_bash(tmp_path: Path, line: str) -> tuple[int, str]:
    """Return the exit code of `zoo` in a line of bash, and everything that is printed."""
    script = f'zoo() {{ "{sys.executable}" -m zoo "$@"; }}; {line}; echo "code ${{PIPESTATUS[0]}}" >&2'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    text, _, code = done.stderr.rpartition("code ")
    return int(code), done.stdout + text


@pytest.mark.parametrize(
    ("line", "code", "shown"),
    [
        ("zoo list | head -n 1", 0, "Architectures for classification, multi-label\n"),
        ("zoo --help | true", 0, ""),
        ("zoo list >&-", 0, ""),
        ("zoo list >/dev/full", 1, "zoo: cannot write to stdout: No space left on device\n"),
        ("zoo list --json >/dev/full", 1, "zoo: cannot write to stdout: No space left on device\n"),
        ("zoo lst 2>&-", 2, ""),
        ("zoo lst 2>/dev/full", 2, ""),
        ("zoo show x <&- >&- 2>&-", 1, ""),
    ],
)
def test_streams_that_are_closed_full_or_not_read(line, code, shown, tmp_path):
    assert run_in_bash(tmp_path, line) == (code, shown)


@pytest.mark.slow  # matplotlib is imported
def test_a_folder_s_matplotlibrc_is_not_read(tmp_path, run_zoo):
    os.mkfifo(tmp_path / "matplotlibrc")  # reading it would never end
    small = ("--data", "train_size=16", "--data", "val_size=8", "--data", "test_size=0")
    done = run_zoo("train", "mlp", "shapes", *small, "--epochs", "1", "--run", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "curve.png").is_file()


@pytest.mark.slow  # it trains
def test_a_closed_stderr_hides_progress_and_spoils_nothing(tmp_path: Path) -> None:
    words = "-m zoo train mlp shapes --epochs 1 --batch-size 64 --json --run run"
    sizes = "--data train_size=64 --data val_size=16 --data test_size=16"
    command = f"{sys.executable} {words} {sizes} 2>&-"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["epochs"] == 1


def test_a_reader_that_closes_the_pipe_is_not_an_error(lstm_file: Path) -> None:
    command = [sys.executable, "-m", "zoo", "sample", str(lstm_file), "--max-new-tokens", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == f"sampling from {lstm_file}\n"
