"""The places where progress is shown: a terminal, a notebook, a file or a pipe."""

from __future__ import annotations

import html
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from zoo.console.terminal import Styled, echo, is_terminal
from zoo.errors import printable

if TYPE_CHECKING:
    from rich.live import Live

# Least time between two plain lines
PLAIN_SECONDS = 15.0
_BAR_WIDTH = 30


class _Plain:
    """Shows progress in a file or a pipe, as occasional lines instead of an updating line."""

    width = None

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def keep(self, text: str | Styled) -> None:
        """Print a permanent line."""
        self._printed = time.monotonic()
        echo(text, err=True)

    def show(self, before: str, fraction: float | None, after: str) -> None:
        """Replace the updating line."""
        if time.monotonic() - self._printed > PLAIN_SECONDS:
            self.keep("  ".join(filter(None, [before, after])))

    def clear(self) -> None:
        """Clear the updating line."""

    def close(self) -> None:
        """Remove the updating line."""


class _Terminal:
    """Shows progress on a terminal. rich is imported on first use, and prints other lines above the bar."""

    _live: Live | None = None

    @property
    def width(self) -> int:
        """The number of characters that fit on a line."""
        return self._started().console.width

    def keep(self, text: str | Styled) -> None:
        echo(text, err=True)

    def show(self, before: str, fraction: float | None, after: str) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table
        from rich.text import Text

        bar: ProgressBar | str = ""  # it takes what the texts leave of the line
        if fraction is not None:
            bar = ProgressBar(
                1.0, fraction, style="bright_black", complete_style="cyan", finished_style="cyan"
            )
        columns = [Column(no_wrap=True), Column(max_width=_BAR_WIDTH), Column(no_wrap=True)]
        line = Table.grid(*columns, padding=(0, 2))
        line.add_row(Text(printable(before)), bar, Text(printable(after)))
        self._started().update(line, refresh=True)

    def clear(self) -> None:
        if self._live is not None:
            self._live.update("", refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _started(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False, force_terminal=True, force_jupyter=False)
            above = is_terminal(sys.stdout)  # what is printed meanwhile; a file or a pipe gets its own
            self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=above)
            self._live.start()
        return self._live


class _Notebook:
    """Shows progress in a Jupyter notebook cell: the lines so far, and a bar below them."""

    width = None
    _handle: Any = None

    def __init__(self) -> None:
        self._lines: list[str] = []

    def keep(self, text: str | Styled) -> None:
        self._lines.append(text if isinstance(text, str) else text.text)
        self._draw()

    def show(self, before: str, fraction: float | None, after: str) -> None:
        value = "" if fraction is None else f' value="{fraction:.3f}"'
        bar = f'<progress{value} style="width: 14em; vertical-align: middle"></progress>'
        self._draw(f"{_html(before)} {bar} {_html(after)}")

    def clear(self) -> None:
        if self._handle is not None:
            self._draw()

    close = clear

    def _draw(self, bar: str = "") -> None:
        from IPython.display import display  # pyright: ignore[reportMissingImports] - there is a notebook

        lines = [printable(line) for line in self._lines]
        shown = f'<pre style="margin: 0">{_html(*lines)}</pre><div>{bar}</div>'
        data = {"text/html": shown, "text/plain": "\n".join(lines)}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _html(*lines: str) -> str:
    return html.escape("\n".join(map(printable, lines)))


Screen = _Plain | _Terminal | _Notebook


def screen() -> Screen:
    """Return the screen for stderr, or for the notebook in which this code runs."""
    notebook: Any = sys.modules.get("IPython")
    if notebook is not None and getattr(notebook.get_ipython(), "kernel", None) is not None:
        return _Notebook()
    known = os.environ.get("TTY_COMPATIBLE")
    terminal = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    return _Terminal() if (known == "1" if known else terminal) else _Plain()
