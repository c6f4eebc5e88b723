"""What benchmarks share: declaring them, measuring in turn, running commands, and rows of a sample."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from benchmarks.rows import ROOT, Row
from zoo.errors import OptionError

__all__ = [
    "ZOO", "Child", "benchmark", "child", "chosen", "environment", "in_turn", "mean_of", "median_of",
    "python", "ratio_of", "seconds", "share_of",
]  # fmt: skip

ZOO = str(Path(sys.executable).with_name("zoo"))
_Function = TypeVar("_Function", bound=Callable[..., Iterator[Row]])
# Runs a command from a small process: the peak memory of a child begins with that of its parent
_STARTER = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
with open(sys.argv[1], "wb") as out, open(sys.argv[2], "wb") as errors:
    process = subprocess.Popen(sys.argv[3:], stdout=out, stderr=errors)
    _, status, used = os.wait4(process.pid, 0)
seconds, cpu = time.perf_counter() - begun, used.ru_utime + used.ru_stime
print(json.dumps([seconds, cpu, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]))
"""


def benchmark(*, minutes: float, needs: str = "") -> Callable[[_Function], _Function]:
    """Declare a function as a benchmark; the list of benchmarks reads it from the source, without an import.

    Args:
        minutes: about how long it takes on two cores.
        needs: data or packages that must be there, such as `CIFAR-10`.
    """
    return lambda function: function


class Child(NamedTuple):
    """A process that has ended: wall and CPU time in seconds, peak memory in MiB, exit code and output."""

    seconds: float
    cpu: float
    mebibytes: float
    code: int
    out: str
    errors: str


def child(
    command: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    codes: Sequence[int] = (0,),
) -> Child:
    """Run a command and measure it.

    Raises SystemExit if it cannot be started, or for an exit code that is not among `codes`.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        words = [sys.executable, "-c", _STARTER, str(out), str(errors), *map(str, command)]
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env or environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{words[5]} cannot be run: {done.stderr.strip().rpartition(chr(10))[2]}")
        read = (file.read_text(encoding="utf-8", errors="replace") for file in (out, errors))
        measured = Child(*json.loads(done.stdout), *read)
    if measured.code not in codes:
        sys.exit(f"{' '.join(words[5:])} ended with {measured.code}\n{measured.errors}")
    return measured


def chosen(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return the names, or all that are known if there are none. Raises OptionError for an unknown name."""
    every = [*known]
    for name in names:
        if name not in every:
            raise OptionError(f"unknown name {name!r}", hint=f"choose from: {', '.join(every)}")
    return [*names] or every


def python(code: str, *arguments: object) -> list[object]:
    """Return the command that runs code in a new interpreter, which can import the benchmarks."""
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    return [sys.executable, "-c", path + code, *arguments]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command that downloads nothing and keeps its bytecode as if installed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"ZOO_OFFLINE": "1"} | more


def seconds(do: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def in_turn(
    ways: Mapping[str, Callable[[], float]], rounds: int, *, warmup: int = 1
) -> dict[str, list[float]]:
    """Return what each way measures in each round; every second round is in the opposite order."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(-warmup, rounds):
        for name in [*ways][:: 1 if round_ % 2 else -1]:
            measured = ways[name]()
            if round_ >= 0:
                found[name].append(measured)
    return found


def median_of(case: str, figure: str, values: Sequence[float], unit: str) -> Row:
    """Return the median of values, with an interval between two of them that holds it in 95% of samples.

    With fewer than six values, the interval from the smallest to the largest holds it less often.
    """
    ordered, count = sorted(values), len(values)
    tail, place = 0.5**count, 0  # the chance that at most `place` values lie below the median
    while place < count // 2 and tail + math.comb(count, place + 1) * 0.5**count <= 0.025:
        place += 1
        tail += math.comb(count, place) * 0.5**count
    low, high = (ordered[place], ordered[-1 - place]) if count > 1 else (None, None)
    return Row(case, figure, statistics.median(values), unit, count, low, high)


def ratio_of(case: str, figure: str, ours: Sequence[float], theirs: Sequence[float], unit: str) -> Row:
    """Return the median ratio of pairs that were measured in the same round."""
    return median_of(case, figure, [a / b for a, b in zip(ours, theirs, strict=True)], unit)


def share_of(case: str, figure: str, hits: int, total: int, unit: str = "%") -> Row:
    """Return a share in percent, with its Wilson interval."""
    from zoo.evaluation.intervals import wilson

    low, high = wilson(hits, total)
    return Row(case, figure, 100 * hits / total, unit, total, 100 * low, 100 * high)


def mean_of(case: str, figure: str, values: Sequence[float], unit: str) -> Row:
    """Return the mean of values and the range within a standard deviation of it, for several seeds."""
    mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    bounds = (mean - spread, mean + spread) if len(values) > 1 else (None, None)
    return Row(case, figure, mean, unit, len(values), *bounds)
