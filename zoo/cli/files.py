"""What commands that write a row for each input say when they are stopped."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.cli.signature import typed
from zoo.errors import Interrupted

__all__ = ["interrupted"]


def interrupted(
    error: KeyboardInterrupt, out: Path, words: Sequence[str], options: Mapping[str, object]
) -> Interrupted:
    """Return the error for Ctrl-C, or SIGTERM, while a file was being written, with the command to go on.

    Args:
        words: the command and its arguments, without options.
        options: those that the content of the file depends on.
    """
    signal = 2 if type(error) is KeyboardInterrupt else 15
    if out.suffix == ".npy":
        return Interrupted(f"stopped: {out} was not written", signal=signal)
    given = [word for name, value in options.items() for word in typed(name, value)]
    hint = f"go on: {shlex.join(['zoo', *words, *given, '--out', str(out)])}"
    return Interrupted(f"stopped: {out} has the rows so far", signal=signal, hint=hint)
