"""Test every promise in full, and write the table of docs/explanation/reliability.md: `make reliability`.

    python -m tests.nightly.reliability.full [--jobs 1] [--out FILE] [--only NAME ...]

Each promise is tested in a process of its own, `--jobs` of them at a time. With `--only`, the other rows of
the table stay. The exit code is 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.nightly.reliability import (
    cards,
    exported,
    fetching,
    files,
    folders,
    forged,
    invocations,
    memory,
    opening,
    orphans,
    pruning,
    ranks,
    runs,
    threads,
)
from tests.nightly.reliability.figure import Figure

ROOT = Path(__file__).parents[3]
PROMISES: dict[str, Callable[[Path], Figure]] = {
    "killed": lambda folder: runs.killed(folder, runs=200),
    "save_faults": lambda folder: files.save_faults(folder),
    "combinations": lambda folder: runs.combinations(folder, kills=200),
    "phases": lambda folder: runs.phases(folder, kills=218),
    "every_step": lambda folder: runs.every_step(folder),
    "saves": lambda folder: runs.saves(folder, kills=100),
    "stopped": lambda folder: runs.stopped(folder, moments=50, twice=25),
    "disk_full": lambda folder: runs.disk_full(folder, levels=20),
    "not_finite": lambda folder: runs.not_finite(folder, steps=10),
    "mutated_weights": lambda folder: files.mutated_weights(folder, files=100_000),
    "flipped_bits": lambda folder: files.flipped_bits(folder, flips=1_000),
    "mutated_others": lambda folder: files.mutated_others(folder, files=20_000),
    "hand_made": files.hand_made,
    "memory": lambda folder: memory.small(folder, drawn=50),
    "forged": lambda folder: forged.forged(folder, files=10_000),
    "paths_named": lambda folder: cards.paths_named(folder, paths=1_000),
    "fetched": lambda folder: fetching.fetched(folder, rounds=50),
    "owners": lambda folder: runs.owners(folder, rounds=100),
    "remade": lambda folder: runs.remade(folder, rounds=40),
    "pruned": lambda folder: pruning.never_the_last(folder, runs=200),
    "threads": lambda folder: threads.mixed(folder, threads=8, each=1_000),
    "beside_a_training": lambda folder: threads.beside_a_training(folder, rounds=20),
    "exported": lambda folder: exported.opens_nothing(folder, files=10_000),
    "never_unpickled": opening.never_unpickled,
    "of_the_folder": folders.of_the_folder,
    "in_terminal": invocations.in_terminal,
    "fuzzed": lambda folder: invocations.fuzzed(folder, invocations=10_000),
    "processes": lambda folder: invocations.processes(folder, invocations=500),
    "ranks_killed": lambda folder: ranks.killed(folder, twos=50, threes=20),
    "ranks_stopped": lambda folder: ranks.stopped(folder, runs=50),
    "ranks_ended_well": lambda folder: ranks.ended_well(folder, runs=100),
    "orphans": lambda folder: orphans.orphans(folder, kills=100),
    "cost": lambda folder: runs.cost(folder, saves=20),
}
HEAD = """# Reliability, as tested

`make reliability` generates this table. Each row describes a promise, and the *result* column shows how many
of its tests passed. The tests run real processes and kill them with real signals. To save time, each process
is forked from a process that has already imported torch. CI runs each test a few times. The times were
measured on two cores that were also running other work.

Only `images/folder` with `cache=false` uses worker processes, which always exit when training ends;
decoding for the cache uses threads. In the tests of distributed training, torchrun or `--processes`
starts the processes.

| promise | result | seconds |
|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Test every promise about reliability in full.")
    parser.add_argument("--jobs", type=int, default=1, help="Number of promises to test at the same time.")
    parser.add_argument("--out", type=Path, help="Write the table to this file.")
    parser.add_argument(
        "--only", nargs="*", choices=[*PROMISES], default=[*PROMISES], help="Promises to test."
    )
    parser.add_argument("--one", choices=[*PROMISES], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        return _one(chosen.one)
    rows = _rows(chosen.out) if chosen.out and len(chosen.only) < len(PROMISES) else {}
    held = True
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for figure, seconds in pool.map(_in_a_process, chosen.only):
            held &= figure.holds
            rows[figure.promise] = f"| {figure.promise} | {figure.text} | {seconds:.0f} |"
            if chosen.out:  # each at once: hours of them may be interrupted
                chosen.out.write_text(HEAD + "\n".join(rows.values()) + "\n", encoding="utf-8")
    return 0 if held else 1


def _rows(table: Path) -> dict[str, str]:
    """Return the rows of an existing table by promise."""
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows}


def _one(name: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(ZOO_OFFLINE="1", OMP_NUM_THREADS="1")
        for setting in ("CACHE", "CONFIG", "STATE"):
            os.environ[f"ZOO_{setting}"] = f"{folder}/{setting.lower()}"
        for setting in ("ZOO_DATA", "ZOO_PLUGINS", "ZOO_REGISTRY", "ZOO_STRICT", "ZOO_PLUGIN_FILES"):
            os.environ.pop(setting, None)
        place = Path(folder) / "work"
        place.mkdir()
        print(json.dumps(asdict(PROMISES[name](place))))
    return 0


def _in_a_process(name: str) -> tuple[Figure, float]:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.nightly.reliability.full", "--one", name],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        error = done.stderr[-500:].replace("\n", " ")
        figure = Figure(name, 1, 0, "tests that ran to the end", broken=(error,))
    else:
        fields = json.loads(done.stdout.splitlines()[-1])
        figure = Figure(**fields | {"broken": tuple(fields["broken"])})
    print(f"{figure.promise}: {figure.text} ({seconds:.0f} s)", file=sys.stderr, flush=True)
    return figure, seconds


if __name__ == "__main__":
    sys.exit(main())
