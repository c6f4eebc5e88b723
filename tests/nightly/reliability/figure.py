"""The outcome of testing a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Figure", "counted"]


@dataclass(frozen=True)
class Figure:
    """How many times a promise was tested, how many times it held, and the failures."""

    promise: str
    tried: int
    kept: int
    unit: str
    """What is counted, such as `runs were bit-identical`."""
    more: str = ""
    """Further numbers for the table."""
    broken: tuple[str, ...] = ()
    """The failures, each in one line."""

    @property
    def holds(self) -> bool:
        return self.tried > 0 and self.kept == self.tried

    @property
    def text(self) -> str:
        more = f"; {self.more}" if self.more else ""
        failures = "".join(f"; BROKEN: {failure}" for failure in self.broken[:5])
        return f"{self.kept:,} of {self.tried:,} {self.unit}{more}{failures}"


def counted(promise: str, tried: int, broken: Sequence[str], unit: str, more: str = "") -> Figure:
    """Return the outcome of tests each of which has at most one failure."""
    return Figure(promise, tried, tried - len(broken), unit, more, tuple(broken))
