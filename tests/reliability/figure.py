"""What a promise came to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True)
class Figure:
    """How often something was tried, how often it went as promised, and what went otherwise."""

    promise: str
    tried: int
    kept: int
    unit: str
    """What is counted, such as `runs bit-equal`."""
    more: str = ""
    """Other numbers, for the table."""
    broken: tuple[str, ...] = ()
    """The first cases that did not go as promised."""

    @property
    def holds(self) -> bool:
        return self.tried > 0 and self.kept == self.tried

    @property
    def text(self) -> str:
        told = f"{self.kept:,} of {self.tried:,} {self.unit}{f'; {self.more}' if self.more else ''}"
        return told + "".join(f"; BROKEN: {case}" for case in self.broken[:5])
