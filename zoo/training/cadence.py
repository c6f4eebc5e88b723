"""How often a run is saved within an epoch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.errors import OptionError

__all__ = ["Cadence"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """Every so many optimizer steps or seconds; with neither, at the end of epochs only."""

    steps: int = 0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Cadence:
        """Read `500` (steps), `90s`, `5m`, `1h`, or `0` for never. Raises OptionError for anything else.

        >>> Cadence.parse("5m")
        Cadence(steps=0, seconds=300.0)
        """
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
        if found is None or (not found[2] and "." in found[1]):
            raise OptionError(f"{text!r} is no interval: 500 is steps, 90s and 5m are time, 0 is never")
        if found[2]:
            return cls(seconds=float(found[1]) * _SECONDS[found[2]])
        return cls(steps=int(found[1]))

    def due(self, *, steps: int, seconds: float) -> bool:
        """Say whether it is time, so many steps and seconds after the last save."""
        return bool((self.steps and steps >= self.steps) or (self.seconds and seconds >= self.seconds))
