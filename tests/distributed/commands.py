"""Trainings in several processes, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.reliability import toys

JOB = Path(__file__).parent / "job.py"
LSTM = "lstm"


def undropped(name: str, directory: str, *, threads: int = 1, epochs: int = 2) -> list[str]:
    """Return the command that trains a toy without dropout, the only thing that depends on the process."""
    words = toys.train(name, directory, "--threads", str(threads), "--quiet", epochs=epochs)
    return ["dropout=0" if word.startswith("dropout=") else word for word in words]


def torchrun(processes: int, commands: list[list[str]], place: Path) -> subprocess.CompletedProcess[str]:
    """Run commands of zoo, one after the other, in processes that torchrun starts."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, *launch, str(JOB), json.dumps(commands)],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def command(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of zoo in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "zoo", *words], cwd=place, capture_output=True, text=True, check=False
    )


def started(place: Path, directory: str, *more: str, epochs: int = 6) -> subprocess.Popen[str]:
    """Start a training in two processes that is saved after each step, and wait until it is under way."""
    command = [*toys.train(LSTM, directory, "--threads", "1", epochs=epochs), "--processes", "2", *more]
    going = subprocess.Popen(
        [sys.executable, "-m", "zoo", *command],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (place / directory / "checkpoint.previous.safetensors").exists():
        assert going.poll() is None, going.stderr.read() if going.stderr else ""
        time.sleep(0.05)
    return going


def workers(of: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a command has started, in the order of their ranks."""
    found = subprocess.run(["pgrep", "-P", str(of.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def ended(going: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = going.communicate(timeout=60)
    return going.returncode, errors
