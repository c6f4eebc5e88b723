"""Tables, sections and paragraphs that fit the terminal. Nothing is cut or wrapped where stdout is none."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence

from zoo.config import options
from zoo.console.terminal import bold, dim, echo, is_terminal
from zoo.errors import printable

__all__ = [
    "SHARES",
    "as_typed",
    "columns",
    "enumerated",
    "lines",
    "print_paragraph",
    "print_section",
    "print_table",
    "print_title",
    "shorten",
]

# The units of columns that have shares from 0 to 1
SHARES = {"probability": "%", "share": "%"}
# Columns below which the last cell of a row is not squeezed, and is left out where it may be cut
_LEAST = 12


def columns() -> int | None:
    """Return the width of the terminal; None if stdout is none."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def shorten(text: str, room: int) -> str:
    """Return a text in a number of columns, whole words followed by an ellipsis if it is longer.

    >>> shorten("a network of residual layers", 20)
    'a network of…'
    """
    if len(text) <= room:
        return text
    kept = text[:room].rpartition(" ")[0].rstrip(" ,;:(")
    return (kept if len(kept) > room // 2 else text[: room - 1]) + "…"


def lines(text: str, room: int | None) -> list[str]:
    """Return a text as lines of at most `room` columns; a longer word stays whole."""
    from textwrap import wrap

    return (
        [text] if room is None else wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    )


def as_typed(table: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return options and their values as one types them."""
    return [(name, options.text(value) or '""') for name, value in table.items()]


def enumerated(names: Sequence[str], *, most: int = 20) -> str:
    """Return names on one line; on a terminal, only the first of many."""
    if columns() is None or len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most // 2])}, … and {len(names) - most // 2:,} more"


def print_title(text: str, about: str = "") -> None:
    """Print a heading, bold on a terminal, and what follows it dim."""
    echo(bold(text), dim(f" {about}" if about else ""))


def print_paragraph(text: str, *, indent: int = 0) -> None:
    """Print a text, wrapped to the terminal."""
    width = columns()
    for line in lines(printable(text), width and width - indent):
        echo(" " * indent + line)


def print_table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    *,
    indent: int = 0,
    cut: bool = False,
    numbers: Collection[int] = (),
) -> None:
    """Print rows in columns as wide as their widest cell.

    On a terminal, the last cell of a row takes what is left: it is wrapped, or ends in an ellipsis. If a
    table is too wide, the words of its header stand below each other and its columns closer together.

    Args:
        rows: of equal length.
        header: a first row, dim on a terminal.
        cut: cut the last cell of each row rather than wrap it.
        numbers: columns that are aligned to the right.
    """
    terminal = columns()
    cells = [[printable(cell) for cell in row] for row in rows]
    head = [[*header]] if header else []
    fits = not terminal or not head or indent + _width(head + cells) <= terminal
    head = head if fits else _stacked(header)
    gap = "  " if fits else " "
    widths = [min(width, terminal // 2) if terminal else width for width in _widths(head + cells)]
    for number, row in enumerate(head + cells):
        padded = [
            cell.rjust(width)
            if column in numbers
            else cell.ljust(width)  # a long cell moves only its own row
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        before, last = " " * indent + "".join(f"{cell}{gap}" for cell in padded[:-1]), padded[-1].rstrip()
        room = terminal and terminal - len(before)
        if cut:
            parts = [last if room is None else shorten(last, room) if room >= _LEAST else ""]
        else:
            parts = lines(last, room and max(room, _LEAST))
        text = [f"{before}{parts[0]}".rstrip(), *(" " * len(before) + part for part in parts[1:])]
        for line in text:
            echo(dim(line) if number < len(head) else line)


def _stacked(header: Sequence[str]) -> list[list[str]]:
    """Return the words of a header as rows, the last words of all in the last."""
    words = [text.split(" ") for text in header]
    depth = max(map(len, words))
    return [[*row] for row in zip(*([""] * (depth - len(w)) + w for w in words), strict=True)]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    widths = _widths(rows)
    return sum(widths) + 2 * len(widths) - 2


def print_section(
    title: str, pairs: Sequence[tuple[str, object]], *, about: str = "", wrap: bool = True
) -> None:
    """Print an empty line, a heading, and below it a line for each name and value that is not empty.

    Args:
        about: printed dim beside the title.
        wrap: wrap the values; those that are to be copied, such as paths, should stay whole.
    """
    shown = [(name, str(value)) for name, value in pairs if value not in ("", None, {}, (), [])]
    if not shown:
        return
    echo()
    if title:
        print_title(title, about)
    if wrap:
        print_table(shown, indent=2)
        return
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        echo(f"  {name.ljust(width)}  {value}".rstrip())
