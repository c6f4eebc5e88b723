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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.nightly.reliability import (
    cards,
    exported,
    fetching,
    files,
    folders,
    forged,
    hub_faults,
    invocations,
    memory,
    opening,
    orphans,
    pruning,
    publishing,
    ranks,
    runs,
    threads,
)
from tests.nightly.reliability.figure import Figure

ROOT = Path(__file__).parents[3]


class Promise(NamedTuple):
    """The test of a promise, and how often it is made: in full, and by CI."""

    test: Callable[..., Figure]
    full: Mapping[str, Any] = MappingProxyType({})
    few: Mapping[str, Any] | None = MappingProxyType({})


PROMISES = {
    "killed": Promise(runs.killed, {"runs": 200}, {"runs": 3}),
    "save_faults": Promise(files.save_faults, few={"every": 3}),
    "combinations": Promise(
        runs.combinations,
        {"kills": 200},
        {"kills": 2, "names": ("awd-lstm, tied, penalties", "resnet-lite, accumulated, mixup, EMA")},
    ),
    "shards": Promise(runs.shards, {"kills": 50, "images": 20_000}, {"kills": 2, "images": 2_000}),
    "phases": Promise(runs.phases, {"kills": 218}, {"kills": 4}),
    "every_step": Promise(runs.every_step, few={"toy_names": ("lstm",), "every": 40}),
    "saves": Promise(runs.saves, {"kills": 100}, {"kills": 2}),
    "stopped": Promise(runs.stopped, {"moments": 50, "twice": 25}, {"moments": 1, "twice": 1}),
    "disk_full": Promise(runs.disk_full, {"levels": 20}, {"levels": 2}),
    "not_finite": Promise(runs.not_finite, {"steps": 10}, {"steps": 1}),
    "mutated_weights": Promise(files.mutated_weights, {"files": 100_000}, {"files": 600}),
    "flipped_bits": Promise(files.flipped_bits, {"flips": 1_000}, {"flips": 100}),
    "mutated_others": Promise(files.mutated_others, {"files": 20_000}, {"files": 200}),
    "hand_made": Promise(files.hand_made),
    "memory": Promise(memory.small, {"drawn": 50}, {"drawn": 1, "every": 7, "start": 1}),
    "forged": Promise(forged.forged, {"files": 10_000}, {"files": 100}),
    "paths_named": Promise(cards.paths_named, {"paths": 1_000}, {"paths": 12}),
    "fetched": Promise(fetching.fetched, {"rounds": 50}, {"rounds": 1, "processes": 4}),
    "owners": Promise(runs.owners, {"rounds": 100}, {"rounds": 1, "processes": 4}),
    "remade": Promise(runs.remade, {"rounds": 40}, {"rounds": 4}),
    "pruned": Promise(pruning.never_the_last, {"runs": 200}, {"runs": 30}),
    "publish_killed": Promise(publishing.killed, {"kills": 100}, {"kills": 4}),
    "publish_sign_killed": Promise(
        publishing.killed, {"kills": 100, "sign": True}, {"kills": 4, "sign": True}
    ),
    "publish_pairs": Promise(publishing.pairs, {"rounds": 20}, {"rounds": 1}),
    "hub": Promise(hub_faults.pushed_and_loaded, {"rounds": 200}, {"rounds": 8}),
    "threads": Promise(threads.mixed, {"threads": 8, "each": 1_000}, {"threads": 4, "each": 20}),
    "beside_a_training": Promise(threads.beside_a_training, {"rounds": 20}, {"rounds": 1}),
    "exported": Promise(exported.opens_nothing, {"files": 10_000}, {"files": 20}),
    "never_unpickled": Promise(opening.never_unpickled),
    "of_the_folder": Promise(folders.of_the_folder, few={"commands": ("list", "eval")}),
    "in_terminal": Promise(invocations.in_terminal, few={"every": 20}),
    "fuzzed": Promise(invocations.fuzzed, {"invocations": 10_000}, {"invocations": 200}),
    "processes": Promise(invocations.processes, {"invocations": 500}, {"invocations": 16}),
    "ranks_killed": Promise(ranks.killed, {"twos": 50, "threes": 20}, {"twos": 1, "threes": 0}),
    "ranks_stopped": Promise(ranks.stopped, {"runs": 50}, {"runs": 1}),
    "ranks_ended_well": Promise(ranks.ended_well, {"runs": 100}, {"runs": 1}),
    "orphans": Promise(orphans.orphans, {"kills": 100}, {"kills": 2}),
    "cost": Promise(runs.cost, {"saves": 20}, few=None),  # no test of CI looks at the clock
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
        os.environ["ZOO_REMOTES"] = f"{folder}/remotes.toml"
        for setting in ("ZOO_DATA", "ZOO_PLUGINS", "ZOO_REGISTRY", "ZOO_STRICT", "ZOO_PLUGIN_FILES"):
            os.environ.pop(setting, None)
        place = Path(folder) / "work"
        place.mkdir()
        test, full, _ = PROMISES[name]
        print(json.dumps(asdict(test(place, **full))))
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
