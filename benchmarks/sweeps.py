"""What sweeps cost: successive halving beside the full grid, and what a trial adds to its training.

    python benchmarks/sweeps.py halving
    python benchmarks/sweeps.py start
    python benchmarks/sweeps.py short

`halving` sweeps five spaces twice, by the grid and by successive halving, and trains the best options of the
grid with five seeds. It reports the share of the grid's optimizer steps that halving takes, and whether the
validation metric of its winner lies in the 95% interval of the five seeds.

`start` trains a model of the size of `make demo` several times in one process, as a worker does, and reports
the time from the call to the first optimizer step.

`short` runs 40 short trials with two jobs, and reports the time as a multiple of half of their training time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import zoo

SHAPES = {"train_size": 4000, "val_size": 500, "test_size": 10}
TEXT = {"splits": [3, 3, 94]}
SPACES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "mlp, rate and momentum": (
        *("mlp", "shapes"),
        {"lr": "0.01,0.03,0.1", "momentum": "0.5,0.8,0.95"},
        {"data": SHAPES},
    ),
    "convnet, rate and weight decay": (
        *("convnet", "shapes"),
        {"lr": "0.03,0.1,0.3", "weight_decay": "0,0.0005,0.005"},
        {"data": SHAPES},
    ),
    "convnet-bn, rate and batch size": (
        *("convnet-bn", "shapes"),
        {"lr": "0.01,0.05,0.2", "batch_size": "32,64,128"},
        {"data": SHAPES, "model": {"widths": [8, 16, 32]}},
    ),
    "lstm, rate and hidden size": (
        *("lstm", "stdlib"),
        {"lr": "0.003,0.01,0.03", "model.hidden_size": "32,64,128"},
        {"data": TEXT},
    ),
    "gru, rate and dropout": (
        *("gru", "stdlib"),
        {"lr": "0.003,0.01,0.03", "model.dropout": "0,0.2,0.5"},
        {"data": TEXT, "model": {"hidden_size": 64}},
    ),
}
EPOCHS = 16


def halving(folder: Path, jobs: int) -> None:
    """Print a row for each space."""
    print("| space | metric | grid | halving | 95% interval of five seeds | halving is | steps |")
    print("|---|---|---|---|---|---|---|")
    for number, (title, (name, data, over, how)) in enumerate(SPACES.items()):
        common: dict[str, Any] = {"epochs": EPOCHS, "jobs": jobs, "progress": False, **how}
        whole = zoo.sweep(name, data, over=over, method="grid", run=folder / f"grid-{number}", **common)
        fast = zoo.sweep(name, data, over=over, method="halving", run=folder / f"halving-{number}", **common)
        metric = whole.task.primary_metric
        point = whole.best["options"]
        best: dict[str, Any] = {key: value for key, value in point.items() if "." not in key}
        tables: dict[str, Any] = {"model": dict(how.get("model", {})), "data": dict(how.get("data", {}))}
        for key, value in point.items():
            table, dot, option = key.partition(".")
            if dot:
                tables[table] |= {option: value}
        seeds = zoo.train_seeds(name, data, seeds=5, run=folder / f"seeds-{number}", **common | tables | best)
        low, high = seeds.interval["val"][metric]
        values = [each.best["metrics"]["val"][metric] for each in (whole, fast)]
        taken, all_steps = (sum(_steps(row["run"]) for row in each.trials) for each in (fast, whole))
        print(
            f"| {title} | {metric} | {values[0]:.4f} | {values[1]:.4f} | {low:.4f} to {high:.4f} "
            f"| {_place(values[1], low, high)} | {taken / all_steps:.0%} |",
            flush=True,
        )


def _place(value: float, low: float, high: float) -> str:
    return "below" if value < low else "above" if value > high else "inside"


def _steps(run: str) -> int:
    return zoo.Run(run).history[-1]["steps"]


def start(folder: Path) -> None:
    """Print the time from the call of a trial to its first step, for the first trial and for later ones."""
    seconds: list[float] = []
    for number in range(6):
        before = time.time()
        run = zoo.train(
            "stdlib-lstm", run=folder / str(number), epochs=1, threads=1, progress=False, stop_after=1
        )
        seconds.append(run.steps[0]["time"] - before)
    print(f"first trial: {seconds[0]:.2f} s; later ones: {median(seconds[1:]):.2f} s (median of 5)")


def short(folder: Path) -> None:
    """Print the time of 40 short trials with two jobs, as a multiple of half of their training time."""
    rates = ",".join(f"{0.01 * 1.1**number:.4g}" for number in range(40))
    how: dict[str, Any] = {"epochs": 12, "data": SHAPES, "progress": False, "jobs": 2}
    zoo.sweep("mlp", "shapes", over={"lr": "0.1,0.2"}, run=folder / "warm", **how)  # starts the workers
    before = time.perf_counter()
    found = zoo.sweep("convnet", "shapes", over={"lr": rates}, run=folder / "short", **how)
    wall = time.perf_counter() - before
    seconds = sum(row["seconds"] for row in zoo.list_runs(folder / "short"))
    each = seconds / len(found.trials)
    print(f"{len(found.trials)} trials of {each:.1f} s took {wall:.1f} s: {wall / (seconds / 2):.2f} x half")


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description="Measure sweeps.")
    parser.add_argument("part", choices=["halving", "start", "short"])
    parser.add_argument("--jobs", type=int, default=2, help="Number of trials at a time, for halving.")
    parser.add_argument("--folder", type=Path, help="Folder for the runs, in which halving continues.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if arguments.part == "halving":
            halving(folder, arguments.jobs)
        else:
            {"start": start, "short": short}[arguments.part](folder)


if __name__ == "__main__":
    main()
