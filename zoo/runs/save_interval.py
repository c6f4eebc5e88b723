"""The interval at which a run is saved within an epoch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.errors import OptionError

_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveInterval:
    """A number of optimizer steps or seconds; without either, a run is saved only after each epoch."""

    steps: int = 0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> SaveInterval:
        """Parse `500` (steps), `90s`, `5m`, `1h`, or `0` for never. Raises OptionError for anything else.

        >>> SaveInterval.parse("5m")
        SaveInterval(steps=0, seconds=300.0)
        """
        match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d+)?)\s*([smh]?)\s*", text)
        if match is None or (not match[2] and "." in match[1]):
            raise OptionError(
                f"save interval must be a step count (500), a time (90s, 5m), or 0 to disable (got {text!r})"
            )
        if match[2]:
            return cls(seconds=float(match[1]) * _SECONDS[match[2]])
        return cls(steps=int(match[1]))

    def due(self, *, steps: int, seconds: float) -> bool:
        """Return whether to save, given the steps and seconds since the last save."""
        return bool((self.steps and steps >= self.steps) or (self.seconds and seconds >= self.seconds))
