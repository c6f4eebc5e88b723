"""Listing 1,000 runs with `zoo runs`, and the size of a report of 50.

    python benchmarks/many_runs.py

A tiny training is run once, and its logs are copied. It takes about half a minute.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import zoo

RUNS, REPORTED, ROUNDS = 1_000, 50, 9
LOGS = ("config.toml", "metrics.jsonl", "steps.jsonl", ".lock")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = zoo.train("mlp", "shapes", run=folder / "one", epochs=6, device="cpu", progress=False)
        for name, count in (("many", RUNS), ("some", REPORTED)):
            for number in range(count):
                copy = folder / name / f"run-{number}"
                copy.mkdir(parents=True)
                for file in LOGS:
                    shutil.copy(run.directory / file, copy)
        seconds = [listed(folder / "many") for _ in range(ROUNDS)]
        print(f"`zoo runs` of {RUNS:,} runs: {median(seconds):.2f} s, median of {ROUNDS}")
        zoo.report_runs(folder / "some", folder / "report.html")
        print(f"report of {REPORTED} runs: {(folder / 'report.html').stat().st_size / 1e6:.2f} MB")


def listed(folder: Path) -> float:
    """Return the seconds that `zoo runs` takes, from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "zoo", "runs", folder], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
