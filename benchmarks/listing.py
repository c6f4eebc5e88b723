"""Whole-process time of `zoo list` against the least any such command must do, measured in turn."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time

BARE = "import click, pluggy; from importlib.metadata import entry_points; list(entry_points(group='zoo'))"
PROBE = """
import sys
from zoo.cli import run
run(["list"])
heavy = [m for m in ("torch", "numpy", "torchvision", "torchtext", "matplotlib", "rich") if m in sys.modules]
heavy += [m for m in sys.modules if m.startswith("zoo_") and "." in m and not m.endswith(".plugin")]
print(heavy, file=sys.stderr)
"""
ROUNDS = 41


def main() -> None:
    zoo = shutil.which("zoo", path=str(__import__("pathlib").Path(sys.executable).parent))
    assert zoo is not None, "install zoo beside this Python first"
    commands = {"bare": [sys.executable, "-c", BARE], "zoo list": [zoo, "list"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(ROUNDS):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if round_:  # the first one warms the caches
                times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        print(f"{name:9} median {statistics.median(taken) * 1000:6.1f} ms  min {min(taken) * 1000:6.1f} ms")
    ratios = [ours / bare for ours, bare in zip(times["zoo list"], times["bare"], strict=True)]
    print(f"ratio     median {statistics.median(ratios):.2f} over {len(ratios)} pairs (at most 1.8 is asked)")
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    print(f"heavy modules imported by zoo list: {probe.stderr.strip()}")


if __name__ == "__main__":
    main()
