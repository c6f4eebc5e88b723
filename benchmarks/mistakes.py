"""Processor time of commands that name something wrong, which is found before torch and data are loaded.

    python benchmarks/mistakes.py [--rounds 3]

Each is a whole process; its time is the user and system time of all its threads, the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LSTM = ["train", "lstm", "stdlib"]
FOLDER = ["train", "convnet-bn", "folder"]
COMMANDS = [
    ["train", "nitzsche"],
    ["train", "lstm", "stdlob"],
    [*LSTM, "--epochs", "0"],
    [*LSTM, "--mixup-alpha", "0.2"],
    [*LSTM, "--model", "hiden_size=3"],
    [*LSTM, "--device", "gpu"],
    [*LSTM, "--device", "cuda:x"],
    [*LSTM, "--save-every", "often"],
    [*LSTM, "--processes", "0"],
    [*LSTM, "--from", "runs/nope"],
    [*LSTM, "--run", "taken"],
    FOLDER,
    [*FOLDER, "--data", "root=/nope"],
    ["train", "resnet20", "cifar10", "--data", "root=/nope"],
    ["resume", "runs/nope"],
    ["eval", "nope"],
    ["eval", "shapes-resnet20", "--device", "gpu"],
    ["predict", "shapes-resnet20", "x.png", "--device", "gpu"],
    ["analyze", "grad-can", "shapes-resnet20"],
    ["analyze", "cam", "shapes-resnet20", "--device", "gpu"],
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time commands that name something wrong.")
    parser.add_argument("--rounds", type=int, default=3, help="Number of times to run each.")
    rounds = parser.parse_args().rounds
    zoo = str(Path(sys.executable).with_name("zoo"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "taken").mkdir()
        Path(folder, "taken", "checkpoint.safetensors").touch()
        for words in COMMANDS:
            took = [cpu_seconds([zoo, *words], folder) for _ in range(rounds)]
            print(f"{statistics.median(took):5.2f} s  zoo {' '.join(words)}", flush=True)


def cpu_seconds(command: list[str], folder: str) -> float:
    """Return the user and system time of a command that must fail."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"ZOO_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (1, 2):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr.decode()}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
