"""What can go wrong, as one small tree. Each error knows the exit code the command line ends with.

`kind` is the stable name of an error in `--json` output; `hint` says what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AmbiguousName",
    "CatalogError",
    "DataError",
    "Diverged",
    "Interrupted",
    "OptionError",
    "OutputError",
    "PluginError",
    "RunError",
    "SpecError",
    "UnknownName",
    "WeightsError",
    "ZooError",
    "did_you_mean",
]


class ZooError(Exception):
    """A failure the user can act on: one sentence, and optionally a hint."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(_readable(message))
        self.hint = hint


class UnknownName(ZooError):
    """No entry has this name."""

    kind = "unknown-name"


class AmbiguousName(ZooError):
    """Several plugins own this short name."""

    kind = "ambiguous-name"


class SpecError(ZooError):
    """A spec, or what its target builds, is not what it says."""

    kind = "spec"


class PluginError(ZooError):
    """A plugin failed to load, and the user asked to be strict about it."""

    kind = "plugin"


class OptionError(ZooError):
    """An option of a recipe, a model or a dataset is unknown or has a wrong value."""

    kind = "option"


class CatalogError(ZooError):
    """A `registry.toml` cannot be read or understood."""

    kind = "catalog"


class DataError(ZooError):
    """Data is missing, unreadable, or not what was promised."""

    kind = "data"


class WeightsError(ZooError):
    """A weights or checkpoint file is damaged, foreign, or does not fit."""

    kind = "weights"


class OutputError(ZooError):
    """Results cannot be written where they should go."""

    kind = "output"


class RunError(ZooError):
    """A run directory cannot be used."""

    kind = "run"


class Diverged(ZooError):
    """Training produced a loss, a weight or a metric that is not finite."""

    kind = "diverged"
    exit_code = 3


class Interrupted(ZooError):
    """Training was stopped by a signal, after saving. 128 + the signal's number, as shells have it."""

    kind = "interrupted"

    def __init__(self, message: str, *, signal: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal


def _readable(message: str) -> str:
    """Return a message in one line, without the middle of what a file may have said at length."""
    message = " ".join(message.split("\n"))
    return message if len(message) <= 1_500 else f"{message[:700]} ... {message[-700:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
