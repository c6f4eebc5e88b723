"""Trainings in several processes, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.nightly.reliability import toys

JOB = Path(__file__).parent / "job.py"
LSTM = "lstm"
# Options of architectures that drop something out unless told otherwise
DROPOUTS = {
    "awd-lstm": ("dropout_input", "dropout_hidden", "dropout_output", "weight_drop"),
    "min-gru": ("dropout",),
}

# Evaluates three batches of images, with weights that do not change
STILL = [
    *("train", "mlp", "shapes", "--data", "size=16", "--data", "train_size=32", "--data", "val_size=1200"),
    *("--data", "test_size=0", "--epochs", "1", "--lr", "1e-30", "--optimizer", "sgd", "--weight-decay", "0"),
    *("--threads", "1", "--precision", "fp32", "--device", "cpu", "--quiet"),
]


def undropped(name: str, directory: str, *, threads: int = 1, epochs: int = 2) -> list[str]:
    """Return the command that trains a toy without dropout, the only thing that depends on the process.

    At the toy's own rate, NT-ASGD diverges, and any rounding grows; the average begins in epoch 3.
    """
    averaged = "NT-ASGD" in name
    epochs = max(epochs, 4) if averaged else epochs
    words = toys.train(name, directory, "--threads", str(threads), "--quiet", epochs=epochs)
    own = [f"{option}=0" for option in DROPOUTS.get(name.partition(",")[0], ())]
    words = ["dropout=0" if word.startswith("dropout=") else word for word in words]
    return words + [word for option in own for word in ("--model", option)] + ["--lr", "0.2"] * averaged


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


def command(words: Sequence[str], place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of zoo in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "zoo", *words], cwd=place, capture_output=True, text=True, check=False
    )


def started(place: Path, directory: str, *more: str, epochs: int = 6) -> subprocess.Popen[str]:
    """Start a training in two processes that is saved after each step, and wait until it is under way."""
    words = [*toys.train(LSTM, directory, "--threads", "1", epochs=epochs), "--processes", "2", *more]
    return under_way([sys.executable, "-m", "zoo", *words], place, directory)


def under_way(words: list[str], place: Path, directory: str) -> subprocess.Popen[str]:
    """Start a program that trains, and wait until it has saved twice."""
    going = subprocess.Popen(
        words,
        cwd=place,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # as a shell does, so that Ctrl-Z can stop it
    )
    while not (place / directory / "checkpoint.previous.safetensors").exists():
        assert going.poll() is None, going.stderr.read() if going.stderr else ""
        time.sleep(0.01)
    return going


def stopped_by_sigterm(words: list[str], place: Path, directory: str) -> None:
    """Start a command of zoo that trains, and stop it once it is under way."""
    going = under_way([sys.executable, "-m", "zoo", *words], place, directory)
    going.terminate()
    code, errors = ended(going)
    assert code == 143, errors


def workers(of: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a command has started, in the order of their ranks."""
    found = subprocess.run(["pgrep", "-P", str(of.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def require_gone(processes: Sequence[int]) -> None:
    """Raise AssertionError unless processes end within 30 seconds."""
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < deadline, "a process is left over"
        time.sleep(0.1)


def ended(going: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = going.communicate(timeout=60)
    return going.returncode, errors
