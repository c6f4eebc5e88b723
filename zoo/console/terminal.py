"""The only module that prints text.

It escapes all characters that a terminal would interpret, regardless of their origin, except for the colors
that zoo adds.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO, cast

from zoo.config.torchrun import is_first
from zoo.errors import OutputError, ZooWarning, printable

# What a text of several lines keeps: line breaks, tabs, and spaces of other widths, as in Japanese
BLANKS = "\n\t\u00a0\u2002\u2003\u2009\u202f\u3000"
# Bold, dim, the sixteen colors, a color of its own, and back to normal; nothing that hides or moves a text
_CODE = r"(?:[012]|[349][0-7]|10[0-7]|[34]8;2(?:;\d{1,3}){3})"
_COLOR = re.compile(rf"\x1b\[(?:{_CODE}(?:;{_CODE})*)?m")


class StdoutClosed(OutputError):
    """The reader has closed stdout, as in `zoo list | head`; this is not a failure."""

    exit_code = 0


class Styled(NamedTuple):
    """Text with a style, which is the ANSI number of a color, bold or dim."""

    text: str
    code: int


def bold(text: str) -> Styled:
    """Return text that is bold on a terminal."""
    return Styled(text, 1)


def dim(text: str) -> Styled:
    """Return text that is dim on a terminal, for secondary information."""
    return Styled(text, 2)


def echo(
    *parts: str | Styled, err: bool = False, end: str = "\n", keep: str = "", colors: bool = False
) -> None:
    """Print a line on stdout or stderr.

    Args:
        parts: texts to print one after the other.
        end: the end of the line.
        keep: characters not to escape: `BLANKS` for text with several lines.
        colors: keep the colors in the parts.

    Raises StdoutClosed, or OutputError if stdout cannot be written. Errors when writing to stderr are
    ignored.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison] - it is, once closed
        return
    styled = is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = "".join(_part(part, keep, colors, styled) for part in parts) + end
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not err:
            raise StdoutClosed("the reader closed stdout") from None
        if not err:
            raise OutputError(f"cannot write to stdout: {error.strerror}") from None


def echo_json(document: object) -> None:
    """Print a JSON document on stdout. Raises the same errors as `echo`."""
    from zoo.files.canonical import readable_json  # not needed to print a table

    echo(readable_json(document), keep="\n")


class _Lines:
    """Shows warnings on stderr: each ZooWarning as one line, other warnings in Python's format.

    Attributes:
        told: the ZooWarnings so far, including those that have not been printed.
    """

    def __init__(self, *, printed: bool) -> None:
        self.told: list[str] = []
        self._printed = printed

    def __call__(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any
    ) -> None:
        if not issubclass(category, ZooWarning):
            text = warnings.formatwarning(message, category, filename, lineno)
            echo(text.rstrip(), err=True, keep=BLANKS)
            return
        self.told.append(str(message))
        if self._printed and is_first():
            echo(f"zoo: {message}", err=True)  # above a live line


@contextmanager
def warnings_as_lines(*, printed: bool = True) -> Generator[list[str]]:
    """Print each ZooWarning as one line on stderr, unless `printed` is false.

    Other warnings are printed in Python's format. Yields a list to which each ZooWarning is added.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", ZooWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about damage to images that it can repair
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of matplotlib, which draws a box instead
        warnings.showwarning = lines = _Lines(printed=printed)
        yield lines.told


def lines_told() -> list[str] | None:
    """Return the warnings printed as lines so far; None if they are not printed (in Python, or if quiet)."""
    lines = cast("object", warnings.showwarning)
    if not isinstance(lines, _Lines):
        return None
    with warnings.catch_warnings(record=True) as shown:
        warnings.warn("a notice", ZooWarning, stacklevel=1)
    return lines.told if shown else None


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal."""
    return stream is not None and stream.isatty()


def _part(part: str | Styled, keep: str, colors: bool, styled: bool) -> str:
    if isinstance(part, Styled):
        text = printable(part.text, keep=keep)
        return f"\x1b[{part.code}m{text}\x1b[0m" if styled else text
    if not colors:
        return printable(part, keep=keep)
    pieces, at = "", 0
    for color in _COLOR.finditer(part):
        pieces += printable(part[at : color.start()], keep=keep) + color[0] * styled
        at = color.end()
    return pieces + printable(part[at:], keep=keep) + "\x1b[0m" * styled
