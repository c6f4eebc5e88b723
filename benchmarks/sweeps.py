"""What sweeps cost: successive halving beside the full grid, and what a trial adds to its training."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import zoo
from benchmarks.measuring import benchmark, chosen, median_of
from benchmarks.rows import Row

SHAPES = {"train_size": 4000, "val_size": 500, "test_size": 10}
TEXT = {"splits": [3, 3, 94]}
# Architecture, dataset, the options to search, and the others
SPACES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "mlp": (
        "mlp",
        "shapes",
        {"lr": "0.01,0.03,0.1", "momentum": "0.5,0.8,0.95"},
        {"data": SHAPES},
    ),
    "convnet": (
        "convnet",
        "shapes",
        {"lr": "0.03,0.1,0.3", "weight_decay": "0,0.0005,0.005"},
        {"data": SHAPES},
    ),
    "convnet-bn": (
        "convnet-bn",
        "shapes",
        {"lr": "0.01,0.05,0.2", "batch_size": "32,64,128"},
        {"data": SHAPES, "model": {"widths": [8, 16, 32]}},
    ),
    "lstm": (
        "lstm",
        "stdlib",
        {"lr": "0.003,0.01,0.03", "model.hidden_size": "32,64,128"},
        {"data": TEXT},
    ),
    "gru": (
        "gru",
        "stdlib",
        {"lr": "0.003,0.01,0.03", "model.dropout": "0,0.2,0.5"},
        {"data": TEXT, "model": {"hidden_size": 64}},
    ),
}


@contextlib.contextmanager
def _kept(folder: str) -> Iterator[Path]:
    """Lend a folder for runs: the one that is named, or a temporary one."""
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(folder or temporary)


@benchmark(minutes=60, needs="joblib, optuna, SciPy")
def sweep_halving(*spaces: str, epochs: int = 16, jobs: int = 2, folder: str = "") -> Iterator[Row]:
    """Best metric and optimizer steps of successive halving, relative to the full grid, on five spaces.

    The best options of the grid are also trained with five seeds: is the metric of halving's winner within
    their 95% interval? `--folder FOLDER` keeps the runs, so that a second call continues the first.
    """
    with _kept(folder) as place:
        for space in chosen(spaces, SPACES):
            name, data, over, how = SPACES[space]
            common: dict[str, Any] = {"epochs": epochs, "jobs": jobs, "progress": False, **how}
            whole, fast = (
                zoo.sweep(name, data, over=over, method=method, run=place / f"{method}-{space}", **common)
                for method in ("grid", "halving")
            )
            metric, point = whole.task.primary_metric, whole.best["options"]
            best: dict[str, Any] = {key: value for key, value in point.items() if "." not in key}
            tables: dict[str, Any] = {"model": dict(how.get("model", {})), "data": dict(how.get("data", {}))}
            for key, value in point.items():
                table, dot, option = key.partition(".")
                if dot:
                    tables[table] |= {option: value}
            again = {**common, **tables, **best}
            seeds = zoo.train_seeds(name, data, seeds=5, run=place / f"seeds-{space}", **again)
            low, high = seeds.interval["val"][metric]
            values = [each.best["metrics"]["val"][metric] for each in (whole, fast)]
            taken, every = (sum(_steps(row["run"]) for row in each.trials) for each in (fast, whole))
            yield Row(space, f"{metric} of the grid", values[0])
            yield Row(space, f"{metric} of halving", values[1])
            yield Row(space, f"{metric} of five seeds", mean((low, high)), "", 5, low, high)
            yield Row(
                space, "steps, beside the grid", 100 * taken / every, "% of the steps", len(whole.trials)
            )


def _steps(run: str) -> int:
    return zoo.Run(run).history[-1]["steps"]


@benchmark(minutes=3)
def sweep_start(*, trials: int = 6) -> Iterator[Row]:
    """Time from the call of a trial to its first step, for the first one of a process and for later ones."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(trials):
            before, run = time.time(), Path(folder, str(number))
            options: dict[str, Any] = {"epochs": 1, "threads": 1, "progress": False, "stop_after": 1}
            found = zoo.train("stdlib-lstm", run=run, **options)
            seconds.append(found.steps[0]["time"] - before)
    yield Row("first trial", "time to the first step", seconds[0], "s")
    yield median_of("later trials", "time to the first step", seconds[1:], "s")


@benchmark(minutes=5, needs="joblib, optuna, SciPy")
def sweep_short(*, trials: int = 40, epochs: int = 12) -> Iterator[Row]:
    """Time of 40 short trials in two jobs, relative to half of their training time."""
    rates = ",".join(f"{0.01 * 1.1**number:.4g}" for number in range(trials))
    how: dict[str, Any] = {"epochs": epochs, "data": SHAPES, "progress": False, "jobs": 2}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zoo.sweep("mlp", "shapes", over={"lr": "0.1,0.2"}, run=folder / "warm", **how)  # starts the workers
        before = time.perf_counter()
        found = zoo.sweep("convnet", "shapes", over={"lr": rates}, run=folder / "short", **how)
        wall = time.perf_counter() - before
        trained = sum(row["seconds"] for row in zoo.list_runs(folder / "short"))
    case = f"{len(found.trials)} trials"
    yield Row(case, "training time of a trial", trained / len(found.trials), "s", len(found.trials))
    figure = "beside half of the training time"
    yield Row(case, figure, wall / (trained / 2), "times as long", len(found.trials))
