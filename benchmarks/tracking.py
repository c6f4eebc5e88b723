"""How much slower a training is while `zoo track` follows it.

    python benchmarks/tracking.py --minutes 10

The same recipe is trained in turn with and without a follower, until the time is spent. One thread trains,
and the follower writes TensorBoard files. The figure is the ratio of the median times of a training, by the
clock of the run, which leaves out starting and saving.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import zoo

EPOCHS = 12
WORDS = (
    *("train", "convnet", "shapes", "--epochs", str(EPOCHS), "--threads", "1", "--quiet"),
    *("--data", "train_size=20000", "--data", "val_size=500", "--data", "test_size=10"),
)


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description="Time a training with and without a follower.")
    parser.add_argument("--minutes", type=float, default=10, help="How long to measure.")
    parser.add_argument("--to", default="tensorboard", help="The tracker.")
    arguments = parser.parse_args()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as place:
        turn = 0
        while time.monotonic() < end or turn % 2:
            tracked = turn % 4 in (1, 2)  # so that neither always comes first
            seconds[tracked].append(trained(Path(place) / str(turn), arguments.to if tracked else ""))
            turn += 1
    ratio = median(seconds[True]) / median(seconds[False])
    for tracked, times in seconds.items():
        print(
            f"{'with' if tracked else 'without'} a follower: {', '.join(f'{each:.1f}' for each in times)} s"
        )
    print(f"ratio of the medians: {ratio:.3f}")


def trained(run: Path, tracker: str) -> float:
    """Return the seconds of a training."""
    more = ["--track", tracker] if tracker else []
    subprocess.run(
        [sys.executable, "-m", "zoo", *WORDS, "--run", str(run), *more],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (row,) = zoo.list_runs(run)
    return row["seconds"]


if __name__ == "__main__":
    main()
