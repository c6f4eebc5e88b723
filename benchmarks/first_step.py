"""What zoo does before the first step of a training: how often it builds, checks and looks up, and how long.

    python benchmarks/first_step.py [--against /other/bin/python] [--rounds 10] [RECIPE ...]

Each training runs in a process of its own and ends before its first step. Two lines are printed for each:

- Counts: training configurations that are built, methods whose options are checked, names that are looked up
  in the registry, and all calls of Python functions in zoo and its plugins, from the call of `zoo.train`.
- Time: seconds from the start of the process to the first step. With `--against`, another installation's
  Python, such as that of an earlier version, takes turns, and the median ratio is printed.

Words of `zoo train` can take the place of a recipe, in quotes: `"resnet20 shapes --lr 0.1"`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

RECIPES = ("cifar10-mlp", "cifar10-resnet-lite", "nietzsche-rnn", "stdlib-lstm", "shapes-from-cifar10")
# Functions that are counted, by what they do
COUNTED = {
    "configurations built": "zoo.config.train_config.TrainConfig.__post_init__",
    "methods checked": "zoo.registry.methods._checked",
    "names looked up": "zoo.registry.registry.Registry.find",
}
# Its arguments: whether to count, and the words of `zoo train`
PROBE = """
import collections, json, os, sys
counting, *words = sys.argv[1:]
from zoo.cli import run
import zoo.training.loop as loop
calls = collections.Counter()

def count(frame, event, argument):
    if event == "call" and str(frame.f_globals.get("__name__")).partition("_")[0].partition(".")[0] == "zoo":
        calls[f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}"] += 1

def end(*arguments, **options):
    sys.setprofile(None)
    print(json.dumps(calls), flush=True)
    os._exit(0)

loop.train_step = end
if counting == "yes":
    sys.setprofile(count)
run(["train", *words, "--quiet"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Count and time what happens before the first step.")
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--against", metavar="PYTHON", help="Python of another installation.")
    parser.add_argument("--rounds", type=int, default=10, help="Number of times to run each training.")
    options = parser.parse_args()
    pythons = {"zoo": sys.executable} | ({"other": options.against} if options.against else {})
    for words in options.recipes:
        print(words)
        for name, python in pythons.items():
            calls: dict[str, int] = json.loads(begin(python, words, counting=True))
            counts = [f"{calls.get(function, 0)} {what}" for what, function in COUNTED.items()]
            print(f"  {name}: {', '.join(counts)}, {sum(calls.values()):,} calls")
        times: dict[str, list[float]] = {name: [] for name in pythons}
        for round_ in range(options.rounds + 1):
            for name, python in pythons.items():
                start = time.perf_counter()
                begin(python, words)
                if round_:  # the first one warms the caches
                    times[name].append(time.perf_counter() - start)
        for name, seconds in times.items():
            print(f"  {name}: {statistics.median(seconds):.2f} s")
        if options.against:
            ratios = [a / b for a, b in zip(*times.values(), strict=True)]
            print(f"  ratio {statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})")


def begin(python: str, words: str, *, counting: bool = False) -> str:
    """Run a training up to its first step, and return what the probe prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-c", PROBE, "yes" if counting else "no", *shlex.split(words), "--run", "run"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    if not done.stdout.startswith("{"):
        raise SystemExit(f"{words} did not reach its first step: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
