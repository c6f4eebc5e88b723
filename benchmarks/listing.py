"""Whole-process time of `zoo list` against the least that any such command must do, in turn.

    python benchmarks/listing.py [--rounds 40] [--against "/other/bin/python -m zoo" --cwd /other] [WORD ...]

The least is to start Python, import click and pluggy, and read the entry points of installed distributions.
`--against` also times the `zoo list` of another installation, such as that of an earlier version, in the same
rounds; `--cwd` is the folder to run it in. With words such as `show resnet20`, that command is timed
instead of `list`; `@` in them becomes a different text each time, for outputs such as `--run /tmp/run-@`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

BARE = "import click, pluggy; from importlib.metadata import entry_points; list(entry_points(group='zoo'))"
PROBE = """
import sys
from zoo.cli import run
run(["list"])
heavy = [m for m in ("torch", "numpy", "torchvision", "torchtext", "matplotlib", "rich") if m in sys.modules]
heavy += [m for m in sys.modules if m.startswith("zoo_") and "." in m and not m.endswith(".plugin")]
print(heavy, file=sys.stderr)
"""

Commands = dict[str, tuple[list[str], str | None]]
"""Each command by its name, and the folder it runs in."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time `zoo list`.")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="Another command of zoo.")
    parser.add_argument("--rounds", type=int, default=40, help="Number of times to run each command.")
    parser.add_argument("--against", metavar="COMMAND", help="Another installation's zoo.")
    parser.add_argument("--cwd", metavar="FOLDER", help="Where to run it.")
    options = parser.parse_args()
    words = options.words or ["list"]
    zoo = str(Path(sys.executable).with_name("zoo"))
    commands: Commands = {"zoo": ([zoo, *words], None), "bare": ([sys.executable, "-c", BARE], None)}
    if options.against:
        commands["other"] = ([*shlex.split(options.against), *words], options.cwd)
    times = in_turn(commands, options.rounds)
    for name, seconds in times.items():
        middle, least = statistics.median(seconds), min(seconds)
        print(f"{name:8}  median {1000 * middle:6.1f} ms, least {1000 * least:6.1f} ms")
    for name in [*commands][1:]:
        print(f"zoo {words[0]} / {name}: {ratio(times['zoo'], times[name])}")
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    print(f"heavy modules imported by zoo list: {probe.stderr.strip()}")


def in_turn(commands: Commands, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each command in each round; the first, not counted, writes the bytecode."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(rounds + 1):
        for name, (command, folder) in commands.items():
            command = [word.replace("@", f"{name}-{round_}") for word in command]
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            if round_:  # the first one warms the caches
                times[name].append(time.perf_counter() - start)
    return times


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median ratio of a round, and the smallest and the largest."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return f"median {statistics.median(ratios):.2f} ({spread}) over {len(ratios)} rounds"


if __name__ == "__main__":
    main()
