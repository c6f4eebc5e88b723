"""zoo's exceptions, in one small hierarchy, and its warning.

Each error class defines the command's exit code. `kind` is the stable name of the class in `--json` output,
and `hint` suggests what to do next.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

# Characters that Python calls printable, although they show nothing: fillers, joiners, variation selectors
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


class ZooError(Exception):
    """A failure that the user can act on: one sentence, and optionally a hint."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(shortened(message))
        self.hint = hint
        if hint:
            self.add_note(hint)  # a traceback shows it below the message

    def __reduce__(self) -> tuple[Any, ...]:  # without calling __init__, which may require keywords
        return type(self).__new__, (type(self), *self.args), self.__dict__


class UnknownName(ZooError):
    """The name of an entry is unknown."""

    kind = "unknown-name"


class AmbiguousName(ZooError):
    """Several plugins provide an entry with this short name."""

    kind = "ambiguous-name"


class SpecError(ZooError):
    """A spec is invalid, or the object that its target builds does not match the spec."""

    kind = "spec"


class MissingModule(SpecError):
    """A target imports a package, `module`, that is not installed."""

    def __init__(self, message: str, *, module: str) -> None:
        super().__init__(message)
        self.module = module


class PluginError(ZooError):
    """A plugin failed to load while `--strict` was set, or a plugin cannot be used."""

    kind = "plugin"


class OptionError(ZooError):
    """An option of a command, a recipe, a model or a dataset is unknown or has an invalid value."""

    kind = "option"
    exit_code = 2


class CatalogError(ZooError):
    """A `registry.toml` file cannot be read, or is invalid."""

    kind = "catalog"


class DataError(ZooError):
    """Data is missing, unreadable, or not as expected."""

    kind = "data"


class WeightsError(ZooError):
    """A weights or checkpoint file is damaged, was not written by zoo, or does not match the model."""

    kind = "weights"


class OutputError(ZooError):
    """Results cannot be written to the requested location."""

    kind = "output"


class RunError(ZooError):
    """A run directory cannot be used."""

    kind = "run"


class Lost(RunError):
    """Another process has ended (and reports the reason), or has not responded for `waited` seconds."""

    kind = "lost"

    def __init__(self, *, waited: float = 0) -> None:
        did = f"has not responded for {waited:,.0f} seconds" if waited else "has ended, or cannot be reached"
        super().__init__(f"another process of this run {did}")
        self.waited = waited


class Diverged(ZooError):
    """Training produced a loss, a weight or a metric that is not finite."""

    kind = "diverged"
    exit_code = 3


class Interrupted(ZooError):
    """A signal stopped the command; a training run is saved first.

    As in shells, the exit code is 128 plus the signal number.
    """

    kind = "interrupted"

    def __init__(self, message: str, *, signal: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal


def told(kind: str, message: str, hint: str | None) -> ZooError:
    """Return an error that another process reports, by its class name; unknown classes become RunError."""
    class_: type[ZooError] = globals().get(kind, RunError)
    error = class_.__new__(class_)
    ZooError.__init__(error, message, hint=hint)
    return error


class ZooWarning(UserWarning):
    """A notice that is not an error; the command prints it as one line on stderr."""


def warn(message: str) -> None:
    """Issue a ZooWarning that points to the line outside zoo that called zoo."""
    import traceback  # slow to import, and only for a warning

    home = f"{Path(__file__).parent}{os.sep}"
    frames = traceback.walk_stack(sys._getframe())  # pyright: ignore[reportPrivateUsage]
    depths = [depth for depth, (frame, _) in enumerate(frames) if frame.f_code.co_filename.startswith(home)]
    warnings.warn(shortened(message), ZooWarning, stacklevel=depths[-1] + 2)  # 1 is this very line


def shortened(message: str) -> str:
    """Return a message as one line, and omit the middle of a long message."""
    message = printable(" ".join(message.split("\n")))
    return message if len(message) <= 1_500 else f"{message[:700]} ... {message[-700:]}"


def printable(text: str, *, keep: str = "") -> str:
    """Escape all characters that a terminal would interpret or cannot display.

    These are control characters, marks that reverse the text direction, zero-width and unassigned characters,
    and unpaired surrogates.

    Args:
        keep: characters not to escape, such as a newline.

    >>> printable("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    if text.isprintable() and (text.isascii() or not _UNSEEN.search(text)):
        return text
    return "".join(
        sign if sign in keep or (sign.isprintable() and not _UNSEEN.match(sign)) else ascii(sign)[1:-1]
        for sign in text
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; empty if it has none, or if `str` fails."""
    try:
        return str(error).strip().split("\n")[0]
    except Exception:
        return ""


def cause(error: BaseException) -> str:
    """Return an error's class and the first line of its message, with unprintable characters escaped."""
    first = printable(first_line(error))
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
