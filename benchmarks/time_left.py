"""Estimates of the time left against what the training then took, evaluation included.

python benchmarks/time_left.py [RECIPE] [--epochs 3]
python benchmarks/time_left.py lstm stdlib --epochs 1
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import zoo
from zoo.console.progress import TrainingProgress
from zoo.console.reports import Progress
from zoo.runs import jobs

SEEN: list[tuple[float, int, float, float]] = []  # when, epoch, share of it, seconds left


class Recording(TrainingProgress):
    """A display that also records each estimate."""

    def __call__(self, progress: Progress) -> None:
        share = progress.batch / max(progress.batches, 1)
        if progress.row is not None or (progress.is_step and progress.left is not None):
            SEEN.append((time.perf_counter(), progress.epoch, share, progress.left or 0.0))
        super().__call__(progress)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare estimates of the time left with the truth.")
    parser.add_argument("names", nargs="*", default=["shapes-resnet20"], help="As in zoo train.")
    parser.add_argument("--epochs", type=int, default=3, help="Epochs to train.")
    options = parser.parse_args()
    jobs.TrainingProgress = Recording
    with tempfile.TemporaryDirectory() as folder:
        zoo.train(*options.names, epochs=options.epochs, run=Path(folder, "run"))
    end = SEEN[-1][0]  # of the last evaluation: the curve is drawn after that
    ratios = [
        (left / (end - when), epoch, share) for when, epoch, share, left in SEEN if left and end - when > 1
    ]
    print(f"{'EPOCH':>5}  {'DONE':>4}  ESTIMATE / TRUTH, first, smallest and largest of the epoch")
    for number in range(1, options.epochs + 1):
        of = [(ratio, share) for ratio, epoch, share in ratios if epoch == number]
        if of:
            values = [ratio for ratio, _ in of]
            print(f"{number:5}  {of[0][1]:4.0%}  {values[0]:.2f}  {min(values):.2f}  {max(values):.2f}")


if __name__ == "__main__":
    main()
