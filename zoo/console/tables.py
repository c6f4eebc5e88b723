"""Tables, sections and paragraphs that fit the terminal.

If stdout is not a terminal, text is not cut or wrapped.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

from zoo.config import options
from zoo.console.terminal import BLANKS, Styled, bold, dim, echo, is_terminal
from zoo.errors import printable

# The units of columns that have shares from 0 to 1
SHARES = {"probability": "%", "share": "%"}
# Columns below which the last cell of a row is not squeezed, and is left out where it may be cut
_LEAST = 12
# Columns of texts side by side if stdout is not a terminal
_PIPED = 120


def columns() -> int | None:
    """Return the width of the terminal; None if stdout is not a terminal."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def shorten(text: str, room: int) -> str:
    """Shorten text to a number of columns, keeping whole words and adding an ellipsis.

    >>> shorten("a network of residual layers", 20)
    'a network of…'
    """
    if len(text) <= room:
        return text
    kept = text[:room].rpartition(" ")[0].rstrip(" ,;:(")
    return (kept if len(kept) > room // 2 else text[: room - 1]) + "…"


def lines(text: str, room: int | None) -> list[str]:
    """Wrap text into lines of at most `room` columns; longer words are not split."""
    from textwrap import wrap

    return (
        [text] if room is None else wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    )


def as_typed(table: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return options and their values as users type them."""
    return [(name, options.text(value) or '""') for name, value in table.items()]


def enumerated(names: Sequence[str], *, most: int = 20) -> str:
    """Return names on one line; on a terminal, a long list is shortened."""
    if columns() is None or len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most // 2])}, … and {len(names) - most // 2:,} more"


def print_title(text: str, about: str = "") -> None:
    """Print a heading, bold on a terminal, followed by dim text."""
    echo(bold(text), dim(f" {about}" if about else ""))


def print_paragraph(text: str, *, indent: int = 0) -> None:
    """Print text, wrapped to the width of the terminal."""
    width = columns()
    for line in lines(printable(text), width and width - indent):
        echo(" " * indent + line)


@dataclass
class Table:
    """A table that is printed a few rows at a time; columns can become wider, but not narrower.

    If the header is too wide, its words are stacked and the columns move closer together. The last cell of a
    row fills the rest of the line, and is wrapped or cut with an ellipsis.

    Args:
        header: the names of columns.
        width: maximum number of characters in a line; None for no limit.
        cut: cut the last cell of each row instead of wrapping it.
        numbers: columns to right-align.
        put: function that prints a line.
    """

    header: Sequence[str] = ()
    _: KW_ONLY
    width: int | None = field(default_factory=columns)
    indent: int = 0
    cut: bool = False
    numbers: Collection[int] = ()
    put: Callable[[str | Styled], None] = echo

    def __post_init__(self) -> None:
        self._gap = "  "
        self._widths: list[int] = []

    def print(self, rows: Sequence[Sequence[str]]) -> None:
        """Print some rows, with the header above the first rows.

        If a row has fewer cells than the header, its last cell spans the missing columns.
        """
        cells = [[printable(cell) for cell in row] for row in rows]
        if self.header and not self._widths:
            self._print_header(cells)
        self._widen(cells)
        for row in cells:
            self._print(row)

    def _print_header(self, rows: Sequence[Sequence[str]]) -> None:
        head: list[Sequence[str]] = [self.header]
        self._widen([*head, *rows])
        if self.width and self.indent + sum(self._widths) + 2 * len(self._widths) - 2 > self.width:
            head = _stacked(self.header)
            self._gap = " "
            self._widths = []
            self._widen([*head, *rows])
        for row in head:
            self._print(row, dim)

    def _widen(self, rows: Sequence[Sequence[str]]) -> None:
        for row in rows:
            self._widths += [0] * (len(row) - len(self._widths))
            counted = row if len(row) == len(self._widths) else row[:-1]
            for column, cell in enumerate(counted):
                self._widths[column] = max(self._widths[column], len(cell))

    def _print(self, row: Sequence[str], style: Callable[[str], str | Styled] = str) -> None:
        *before, last = [self._padded(column, cell) for column, cell in enumerate(row)]
        start = " " * self.indent + "".join(f"{cell}{self._gap}" for cell in before)
        last = last.rstrip()
        room = self.width and self.width - len(start)
        if room is None:
            parts = [last]
        elif self.cut:
            parts = [shorten(last, room) if room >= _LEAST else ""]
        else:
            parts = lines(last, max(room, _LEAST))
        self.put(style(f"{start}{parts[0]}".rstrip()))
        for part in parts[1:]:
            self.put(style(" " * len(start) + part))

    def _padded(self, column: int, cell: str) -> str:
        width = self._widths[column]
        if self.width:
            width = min(width, self.width // 2)  # a long cell moves only its own row
        return cell.rjust(width) if column in self.numbers else cell.ljust(width)


def _stacked(header: Sequence[str]) -> list[Sequence[str]]:
    """Stack the words of a header into rows, aligned at the bottom."""
    words = [text.split(" ") for text in header]
    depth = max(map(len, words))
    return [*zip(*([""] * (depth - len(w)) + w for w in words), strict=True)]


def print_table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    *,
    indent: int = 0,
    cut: bool = False,
    numbers: Collection[int] = (),
) -> None:
    """Print rows of equal length as a `Table` that fits the terminal, with a dim header."""
    Table(header, indent=indent, cut=cut, numbers=numbers).print(rows)


def print_side_by_side(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print texts of several lines in columns of equal width, below their headers."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, expand=True, padding=(0, 2, 1, 0), pad_edge=False)
    for text in header:
        grid.add_column(Text(text), ratio=1, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    console = Console(width=columns() or _PIPED, color_system=None, file=io.StringIO())
    with console.capture() as capture:
        console.print(grid)
    for line in capture.get().splitlines():
        echo(line.rstrip(), keep=BLANKS)


def print_section(
    title: str, pairs: Sequence[tuple[str, object]], *, about: str = "", wrap: bool = True
) -> None:
    """Print an empty line, a heading, and a line for each name whose value is not empty.

    Args:
        about: dim text to print next to the title.
        wrap: wrap the values; values that users copy, such as paths, should not be wrapped.
    """
    shown = [(name, str(value)) for name, value in pairs if value not in ("", None, {}, (), [])]
    if not shown:
        return
    echo()
    if title:
        print_title(title, about)
    Table(width=columns() if wrap else None, indent=2).print(shown)
