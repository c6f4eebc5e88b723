"""What surrounds a training: a tracker that follows it, the table of many runs, and the time left."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import zoo
from benchmarks.measuring import ZOO, benchmark, child, in_turn, median_of, ratio_of
from benchmarks.rows import Row
from zoo.console.progress import TrainingProgress
from zoo.console.reports import Progress
from zoo.runs import jobs

LOGS = ("config.toml", "metrics.jsonl", "steps.jsonl", ".lock")


@benchmark(minutes=10, needs="tensorboard")
def tracking(*, rounds: int = 8, to: str = "tensorboard", epochs: int = 12) -> Iterator[Row]:
    """Time of a training that `zoo track` follows, relative to one that nothing follows.

    One thread trains `convnet` on 20,000 images of shapes. The time is that of the run's clock, which leaves
    out starting and saving.
    """
    options = ("train_size=20000", "val_size=500", "test_size=10")
    words = ["convnet", "shapes", *(word for option in options for word in ("--data", option))]
    command = [ZOO, "train", *words, "--epochs", epochs, "--threads", 1, "--quiet", "--run", "run"]

    def trained(*more: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            child([*command, *more], cwd=Path(folder))
            (row,) = zoo.list_runs(Path(folder, "run"))
            return row["seconds"]

    times = in_turn({"alone": trained, "followed": lambda: trained("--track", to)}, rounds, warmup=0)
    for case, taken in times.items():
        yield median_of(case, "time", taken, "s")
    yield ratio_of("followed", "beside alone", times["followed"], times["alone"], "times as long")


@benchmark(minutes=1)
def many_runs(*, runs: int = 1_000, reported: int = 50, rounds: int = 9) -> Iterator[Row]:
    """Time of `zoo runs` with 1,000 runs, and the size of a report of 50.

    A small training is run once, and its logs are copied.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = zoo.train("mlp", "shapes", run=folder / "one", epochs=6, device="cpu", progress=False)
        for place, count in (("many", runs), ("some", reported)):
            for number in range(count):
                copy = folder / place / f"run-{number}"
                copy.mkdir(parents=True)
                for file in LOGS:
                    shutil.copy(run.directory / file, copy)
        taken = [child([ZOO, "runs", folder / "many"]).seconds for _ in range(rounds)]
        zoo.report_runs(folder / "some", folder / "report.html")
        size = (folder / "report.html").stat().st_size / 1e6
    yield median_of(f"{runs:,} runs", "time", taken, "s")
    yield Row(f"{reported:,} runs", "size of a report", size, "MB")


class Recording(TrainingProgress):
    """A progress display that also records each estimate: when, epoch, seconds left."""

    seen: list[tuple[float, int, float]] = []  # noqa: RUF012

    def __call__(self, progress: Progress) -> None:
        """Record an estimate, and show it."""
        if progress.row is not None or (progress.is_step and progress.left is not None):
            self.seen.append((time.perf_counter(), progress.epoch, progress.left or 0.0))
        super().__call__(progress)


@benchmark(minutes=3)
def time_left(*names: str, epochs: int = 3) -> Iterator[Row]:
    """Estimates of the time left, relative to what the training then took, evaluation included.

    NAMES are those of `zoo train`, such as `lstm stdlib`. For each epoch: the first, the smallest and the
    largest estimate. Those of the last second of the training are left out.
    """
    names = names or ("shapes-resnet20",)
    jobs.TrainingProgress, usual, Recording.seen = Recording, jobs.TrainingProgress, []
    try:
        with tempfile.TemporaryDirectory() as folder:
            zoo.train(*names, epochs=epochs, run=Path(folder, "run"))
    finally:
        jobs.TrainingProgress = usual
    end = Recording.seen[-1][0]  # of the last evaluation: the curve is drawn after that
    for number in range(1, epochs + 1):
        of = [(left, end - when) for when, epoch, left in Recording.seen if epoch == number]
        found = [left / true for left, true in of if left and true > 1]
        if found:
            for kind, value in (("first", found[0]), ("smallest", min(found)), ("largest", max(found))):
                yield Row(" ".join(names), f"{kind} estimate, epoch {number}", value, "times the truth")
