"""The time of short commands, each a whole process: what is needed before a command answers."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import (
    ZOO,
    benchmark,
    child,
    environment,
    in_turn,
    median_of,
    python,
    ratio_of,
)
from benchmarks.rows import Row

LEAST = "import click, pluggy; from importlib.metadata import entry_points; list(entry_points(group='zoo'))"
FIRST_LINES = {
    "list": ["list"],
    "show": ["show", "shapes-resnet20"],
    "plugins": ["plugins"],
    "inspect": ["inspect", "shapes-resnet20"],
    "train": ["train", "lstm", "stdlib", "--run", "new"],
    "lr-find": ["lr-find", "lstm", "stdlib"],
    "eval": ["eval", "shapes-resnet20"],
    "sample": ["sample", "./lstm"],
    "analyze": ["analyze", "cam", "shapes-resnet20", "--indices", "0"],
    "check": ["check", "cam"],
    "--help": ["--help"],
}


@benchmark(minutes=1)
def listing(*, rounds: int = 40) -> Iterator[Row]:
    """Time of `zoo list`, relative to importing click and pluggy and reading the entry points."""
    commands = {"zoo list": [ZOO, "list"], "the least": python(LEAST)}
    times = in_turn({name: lambda one=one: child(one).seconds for name, one in commands.items()}, rounds)
    for name, taken in times.items():
        yield median_of(name, "time", taken, "s")
    yield ratio_of("zoo list", "beside the least", times["zoo list"], times["the least"], "times as long")


@benchmark(minutes=3)
def first_line(*, rounds: int = 10) -> Iterator[Row]:
    """Time from the start of each command to its first line of output."""
    with tempfile.TemporaryDirectory() as name:
        folder = _with_lstm(Path(name))
        ways = {
            command: lambda words=words: _first_line([ZOO, *words], folder)
            for command, words in FIRST_LINES.items()
        }
        times = in_turn(ways, rounds)
    for command, taken in times.items():
        yield median_of(f"zoo {command}", "time", taken, "s")
    yield Row("any command", "longest time", max(map(max, times.values())), "s", rounds * len(times))


def _with_lstm(folder: Path) -> Path:
    """Train a small language model in a folder, and return the folder."""
    (folder / "text.txt").write_text("Thus spoke Zarathustra. " * 2_000, encoding="utf-8")
    words = ["train", "lstm", "files", "--data", "paths=text.txt", "--model", "hidden_size=16"]
    child([ZOO, *words, "--epochs", "1", "--device", "cpu", "--run", "lstm"], cwd=folder)
    return folder


def _first_line(command: list[str], folder: Path) -> float:
    """Return the seconds until a command has printed a line, on stdout or stderr; end it then."""
    begun, pipe = time.perf_counter(), subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready, _, _ = select.select([process.stdout, process.stderr], [], [], 60)
        if not ready:
            sys.exit(f"{' '.join(command)} prints nothing")
        ready[-1].readline()
        taken = time.perf_counter() - begun
        process.kill()
    return taken
