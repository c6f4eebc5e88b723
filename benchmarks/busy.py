"""Training on a machine that has other work to do: threads as zoo chooses them, against one for each core.

    python benchmarks/busy.py [--rounds 2] [--quick]

Two trainings, that of `make demo` and two epochs of resnet-lite on 10,000 drawn images, each in turn

- idle: nothing else runs,
- busy: another process keeps one core busy,
- pair: the same training runs a second time beside it,

with zoo's own number of threads and, as `all cores`, with a thread for each core that spins as long as OpenMP
lets it by default. A
figure is the median time of training, as `zoo train --json` reports it, over that of `all cores` on the idle
machine in the same round. Run nothing beside this.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TRAININGS = {
    "stdlib-lstm": ["stdlib-lstm"],
    "resnet-lite": ["resnet-lite", "shapes", "--data", "train_size=10000", "--epochs", "2"],
}
CORES = len(os.sched_getaffinity(0))
THREADS = {
    "all cores": {"OMP_NUM_THREADS": str(CORES), "GOMP_SPINCOUNT": "300000"},
    "default": {},
}
LOADS = ("idle", "busy", "pair")
OPENMP = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def start(words: list[str], environment: dict[str, str], folder: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in OPENMP}
    run = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, "-m", "zoo", "train", *words, "--run", str(Path(run, "run")), "--json"]
    return subprocess.Popen(
        command, env=inherited | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def seconds(process: subprocess.Popen[str]) -> float:
    printed, _ = process.communicate()
    return json.loads(printed)["seconds"]


def measure(words: list[str], environment: dict[str, str], load: str, folder: str) -> float:
    """Return the seconds of a training; of the slower one, if there are two."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"])] if load == "busy" else []
    try:
        started = [start(words, environment, folder) for _ in range(2 if load == "pair" else 1)]
        return max(map(seconds, started))
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Time trainings beside other work.")
    parser.add_argument("--rounds", type=int, default=2, help="Number of times to run each training.")
    parser.add_argument("--only", choices=[*TRAININGS], help="One of the two trainings.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="Try all cores on the idle machine alone: beside work it takes minutes.",
    )
    options = parser.parse_args()
    print(f"{CORES} cores; times of training, against all cores on the idle machine")
    for name in [options.only] if options.only else TRAININGS:
        times: dict[tuple[str, str], list[float]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(options.rounds):
                for load in LOADS:
                    for threads, environment in THREADS.items():
                        if options.quick and threads == "all cores" and load != "idle":
                            continue
                        taken = measure(TRAININGS[name], environment, load, folder)
                        times.setdefault((threads, load), []).append(taken)
        bases = times["all cores", "idle"]
        for (threads, load), taken in times.items():
            ratios = [one / base for one, base in zip(taken, bases, strict=True)]
            listed = ", ".join(f"{one:.1f}" for one in taken)
            ratio = statistics.median(ratios)
            print(f"{name:12} {load}  {threads:9}  {ratio:5.2f} times  {listed} s", flush=True)


if __name__ == "__main__":
    main()
