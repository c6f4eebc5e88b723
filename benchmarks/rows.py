"""Rows of results: one figure each, with where it comes from, and the file that keeps them.

`results.jsonl` has a line for each row, the oldest first. What is last for a benchmark, a case and a figure
is what the documentation shows, and what a new measurement is compared with.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec

__all__ = ["RESULTS", "ROOT", "Comparison", "Origin", "Result", "Row", "append", "compare", "latest", "read"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.jsonl"
# Units of which less is better, and those of which more is; others have no better direction
LESS = (
    "s",
    "s of CPU time",
    "ms",
    "MB",
    "MiB",
    "times as long",
    "times as much",
    "nats",
    "wrong",
    "difference",
)
MORE = ("times as fast", "% accuracy", "right")
# Units whose values vary from one measurement to the next, as rates do
VARYING = ("s", "s of CPU time", "ms", "MB", "MiB", "times as long", "times as much", "times as fast")
# Units whose values depend on the machine, as rates do
OF_A_MACHINE = ("s", "s of CPU time", "ms")


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A figure, as a benchmark yields it.

    Attributes:
        case: what was measured, such as a network; empty if there is only one.
        figure: what of it, such as `loss`.
        unit: the unit, which tells whether less is better. A rate ends in `/s`.
        count: the number of measurements, items or simulations behind the value; 0 if it is not known.
        low, high: the 95% interval of the value, if it has one.
    """

    case: str
    figure: str
    value: float
    unit: str = ""
    count: int = 1
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Round all but whole numbers to six digits, as they are written."""
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and number % 1:
                msgspec.structs.force_setattr(self, name, float(f"{number:.6g}"))

    @property
    def better(self) -> int:
        """1 if more is better, -1 if less is, 0 if neither."""
        return 1 if self.unit in MORE or self.unit.endswith("/s") else -1 if self.unit in LESS else 0

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval; the value twice if it has none."""
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )

    def __str__(self) -> str:
        counted = self.unit in ("right", "wrong")
        number = f"{self.value:,.0f} of {self.count:,}" if counted else f"{self.value:.4g}"
        text = f"{number}{'' if self.unit.startswith('%') else ' '}{self.unit}".rstrip()
        if self.low is not None and self.high is not None:
            text += f" ({self.low:.4g} to {self.high:.4g})"
        return text


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where rows come from: the command, the commit, the day and the machine.

    Attributes:
        entered: why the rows were entered by hand, for figures that were measured before they were kept.
    """

    benchmark: str
    command: str
    commit: str
    date: str
    machine: str
    entered: str = ""

    @classmethod
    def now(cls, benchmark: str, command: str) -> Origin:
        """Return the origin of rows that are measured now."""
        cores, threads = len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS", "default")
        parts = [_processor(), f"{cores} cores", f"{threads} threads", f"torch {version('torch')}"]
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            parts.append(torch.cuda.get_device_name())
        machine = ", ".join([*parts, f"Python {platform.python_version()}"])
        return cls(benchmark, command, _commit(), f"{datetime.now(UTC):%Y-%m-%d}", machine)


class Result(NamedTuple):
    """A row and its origin: a line of the file."""

    row: Row
    origin: Origin


class Comparison(NamedTuple):
    """A row, the last one of the same figure if there is one, and how they differ beyond noise.

    Attributes:
        verdict: `worse`, `better`, or `changed` for a unit without a direction; empty if they do not differ.
    """

    row: Row
    before: Result | None
    verdict: str = ""


def read(path: Path = RESULTS) -> list[Result]:
    """Return the rows of a file, the oldest first."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [
        Result(msgspec.json.decode(one, type=Row), msgspec.json.decode(one, type=Origin)) for one in lines
    ]


def append(rows: Iterable[Row], origin: Origin, path: Path = RESULTS) -> None:
    """Append rows to a file."""
    with path.open("ab") as file:
        for row in rows:
            file.write(msgspec.json.encode(msgspec.to_builtins(origin) | msgspec.to_builtins(row)) + b"\n")


def latest(results: Iterable[Result]) -> dict[tuple[str, str, str], Result]:
    """Return the last row by benchmark, case and figure, in the order in which they are first found."""
    return {(each.origin.benchmark, each.row.case, each.row.figure): each for each in results}


def compare(row: Row, origin: Origin, results: Iterable[Result]) -> Comparison:
    """Compare a row with the last one of its figure, of the same machine if there is one.

    They differ beyond noise if their intervals do not meet. A figure that depends on the machine is judged
    only beside one of the same machine; and a time, rate or size only if one of the two has an interval.
    """
    figure = (origin.benchmark, row.case, row.figure)
    same = [each for each in results if (each.origin.benchmark, each.row.case, each.row.figure) == figure]
    here = [each for each in same if each.origin.machine == origin.machine]
    if not same:
        return Comparison(row, None)
    before = (here or same)[-1]
    (low, high), (low_before, high_before) = row.bounds, before.row.bounds
    of_machine = row.unit in OF_A_MACHINE or row.unit.endswith("/s")
    varies = row.unit in VARYING or row.unit.endswith("/s")
    unknown = varies and row.low is None and before.row.low is None
    if unknown or (of_machine and not here) or (low <= high_before and low_before <= high):
        return Comparison(row, before)
    signs = {1: "better", 0: "changed", -1: "worse"}
    return Comparison(row, before, signs[row.better * (1 if low > high_before else -1)])


def _processor() -> str:
    """Return the name of the processor."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit, with a plus if the code differs from it."""
    found = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "zoo", "plugins", "benchmarks/*.py")
    return f"{found}+" if changed else found


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
