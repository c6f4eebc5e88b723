"""Progress as people see it: a line that changes on a terminal and in a notebook, elsewhere a line at times.

Whoever works reports numbers to a plain function; how they look is decided here and nowhere else.
"""

from __future__ import annotations

import html
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

from zoo.files.work import listening

if TYPE_CHECKING:
    from rich.live import Live

    from zoo.interfaces import Task
    from zoo.training.clock import Progress

__all__ = ["Bar", "TrainingProgress", "duration", "headlines", "metrics_text", "quiet", "short_unit"]

# Least time between two plain lines, and between two changes of a line
_PLAIN_SECONDS = 15.0
_LIVE_SECONDS = 0.1
# Work that is done sooner is not shown
_SHORT = 0.5
_BAR_WIDTH = 30
_SPLITS = ("train", "val", "test")
_UNITS = {"images": "img", "characters": "char"}


def quiet() -> AbstractContextManager[Callable[..., None]]:
    """Return a report function that does nothing, as a context manager."""
    return nullcontext(lambda *_: None)


class _Screen(Protocol):
    """Where lines are shown. `width` is None if they need not fit."""

    @property
    def width(self) -> int | None: ...

    def keep(self, text: str, style: str = "") -> None:
        """Print a line that stays."""

    def show(self, before: str, fraction: float | None, after: str) -> None:
        """Change the line that changes."""

    def close(self) -> None:
        """Remove the line that changes."""


class _Plain:
    """A file or a pipe."""

    width = None

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def keep(self, text: str, style: str = "") -> None:
        self._printed = time.monotonic()
        print(text, file=sys.stderr, flush=True)

    def show(self, before: str, fraction: float | None, after: str) -> None:
        if time.monotonic() - self._printed > _PLAIN_SECONDS:
            self.keep("  ".join(filter(None, [before, after])))

    def close(self) -> None:
        pass


class _Terminal:
    """A terminal. rich is imported for the first line that changes."""

    _live: Live | None = None

    @property
    def width(self) -> int:
        return self._started().console.width

    def keep(self, text: str, style: str = "") -> None:
        if self._live is None:
            print(text, file=sys.stderr, flush=True)
        else:
            from rich.text import Text

            self._live.console.print(Text(text, style), soft_wrap=True)

    def show(self, before: str, fraction: float | None, after: str) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        cells: list[Any] = [Text(before)]
        width = min(self.width - len(before) - len(after) - 5, _BAR_WIDTH)
        if fraction is not None and width >= 8:
            colors: dict[str, Any] = {
                "style": "bright_black",
                "complete_style": "cyan",
                "finished_style": "cyan",
            }
            cells.append(ProgressBar(total=1.0, completed=fraction, width=width, **colors))
        line = Table.grid(padding=(0, 2))
        line.add_row(*cells, Text(after, no_wrap=True, overflow="ellipsis"))
        self._started().update(line, refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _started(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False, force_terminal=True, force_jupyter=False)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        return self._live


class _Notebook:
    """A cell of a Jupyter notebook: its lines so far, and a bar below them."""

    width = None
    _handle: Any = None

    def __init__(self) -> None:
        self._lines: list[str] = []

    def keep(self, text: str, style: str = "") -> None:
        self._lines.append(text)
        self._draw()

    def show(self, before: str, fraction: float | None, after: str) -> None:
        value = "" if fraction is None else f' value="{fraction:.3f}"'
        bar = f'<progress{value} style="width: 14em; vertical-align: middle"></progress>'
        self._draw(f"{html.escape(before)} {bar} {html.escape(after)}", f"{before}  {after}")

    def close(self) -> None:
        if self._handle is not None:
            self._draw()

    def _draw(self, bar: str = "", plain: str = "") -> None:
        from IPython.display import display  # pyright: ignore[reportMissingImports] - there is a notebook

        lines = "\n".join(map(html.escape, self._lines))
        pre = f'<pre style="margin: 0">{lines}</pre>' if lines else ""
        data = {
            "text/html": f"{pre}<div>{bar}</div>",
            "text/plain": "\n".join([*self._lines, plain]).rstrip(),
        }
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _screen() -> _Screen:
    """Return what stderr is, or the notebook that this runs in."""
    notebook: Any = sys.modules.get("IPython")
    if notebook is not None and getattr(notebook.get_ipython(), "kernel", None) is not None:
        return _Notebook()
    known = os.environ.get("TTY_COMPATIBLE")
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return _Terminal() if (known == "1" if known else terminal) else _Plain()


class _Display:
    """A title, lines that stay, and a line that changes. Use it as a context manager.

    Inside its block it also shows the work on files that reports to `zoo.files.work`, such as downloads.

    Args:
        title: a line to print at once.
    """

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._what = ""
        self._first = self._last = 0
        self._since = self._shown = 0.0

    @cached_property
    def _screen(self) -> _Screen:
        return _screen()

    def __enter__(self) -> Self:
        if self._title:
            self._screen.keep(self._title)
        self._listening = listening(self.work)
        self._listening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.__exit__(None, None, None)
        self._screen.close()

    def work(self, what: str, done: int, total: int, unit: str = "", note: str = "") -> None:
        """Show how much is done, how fast, and the time left, estimated from this work so far.

        Args:
            what: the work, in a word or two.
            total: all there is to do; 0 if that is unknown.
            unit: what is counted, such as `images`; `bytes` are shown as megabytes.
            note: text to show after that.
        """
        now = time.monotonic()
        if what != self._what or done < self._last:
            self._what, self._first, self._since = what, done, now
        self._last = done
        seconds = now - self._since
        if seconds <= _SHORT or now - self._shown < _LIVE_SECONDS:
            return
        self._shown = now
        rate = (done - self._first) / seconds
        parts = [f"{done / total:4.0%}"] if total else []
        if unit == "bytes":
            of = f" of {total / 1e6:,.1f}" if total else ""
            parts += [f"{done / 1e6:,.1f}{of} MB", f"{rate / 1e6:,.1f} MB/s"]
        elif unit:
            parts.append(f"{_figure(rate)} {short_unit(unit)}/s")
        if total and rate:
            parts.append(f"{duration((total - done) / rate)} left")
        after = "  ".join(filter(None, [*parts, note]))
        self._screen.show(what, done / total if total else None, after)


class Bar(_Display):
    """A report function for work that is counted, which takes the arguments of `work`."""

    def __call__(self, what: str, done: int, total: int, unit: str = "", note: str = "") -> None:
        """Show how much is done."""
        self.work(what, done, total, unit, note)


class TrainingProgress(_Display):
    """A report function for training: a line that changes, and a table with a row for each epoch.

    Args:
        title: a line to print at once.
        all_metrics: give each metric a column, not only the loss and the task's headline.
    """

    def __init__(self, title: str = "", *, all_metrics: bool = False) -> None:
        super().__init__(title)
        self._all_metrics = all_metrics
        self._table: _Table | None = None

    def __call__(self, progress: Progress) -> None:
        """Show a step, the evaluation after an epoch, or a finished epoch."""
        epoch = f"epoch {progress.epoch}/{progress.epochs}"
        if progress.row is not None:
            self._keep_row(progress, progress.row)
        elif progress.split:
            self.work(f"{epoch} {progress.split}", progress.done, progress.total, progress.unit)
        elif (now := time.monotonic()) - self._shown >= _LIVE_SECONDS:
            self._shown, fraction = now, progress.batch / max(progress.batches, 1)
            pace = f"{_figure(progress.rate)} {short_unit(progress.unit)}/s  {duration(progress.left)} left"
            self._screen.show(epoch, fraction, f"{fraction:4.0%}  loss {progress.loss:.4f}  {pace}")

    def _keep_row(self, progress: Progress, row: Mapping[str, Any]) -> None:
        if self._table is None:
            splits = [split for split in _SPLITS if split in row]
            self._table = _Table(_cells(progress, row, splits, self._all_metrics), splits, self._screen.width)
            self._screen.keep(self._table.header, "dim")
        splits = self._table.splits
        self._screen.keep(self._table.line(_cells(progress, row, splits, self._all_metrics)))
        for split in row.keys() & {*_SPLITS} - {*splits}:  # test, measured only after the last epoch
            self._screen.keep(f"{split}: {metrics_text(row[split])}")


class _Table:
    """Columns as wide as the header and the first row, in `width` characters if that is not None.

    What does not fit goes: first the wider gaps, then the rate, then the time.
    """

    def __init__(self, first: Mapping[str, str], splits: Sequence[str], width: int | None) -> None:
        self.splits = splits
        self._widths = {name: max(len(name), len(text)) for name, text in first.items()}
        self._gap = "  "
        rate = next(name for name in first if name.endswith("/s"))
        for name in ("", rate, "time"):
            if width is not None and len(self.header) > width:
                self._gap = " "
                self._widths.pop(name, None)

    @property
    def header(self) -> str:
        return self.line({name: name for name in self._widths})

    def line(self, cells: Mapping[str, str]) -> str:
        """Return a row."""
        texts = [cells.get(name, "").rjust(width) for name, width in self._widths.items()]
        return self._gap.join(texts).rstrip()


def _cells(
    progress: Progress, row: Mapping[str, Any], splits: Sequence[str], all_metrics: bool
) -> dict[str, str]:
    """Return the columns of an epoch: losses, metrics of the last of its splits, rate and time."""
    cells = {"epoch": f"{progress.epoch}/{progress.epochs}".rjust(len(f"{progress.epochs}") * 2 + 1)}
    cells |= {f"{split} loss": _number("loss", row[split]["loss"]) for split in splits}
    for name, value in row[splits[-1]].items():
        if name != "loss" and (all_metrics or name == progress.headline):
            cells[name.replace("_", " ")] = _number(name, value)
    cells[f"{short_unit(progress.unit)}/s"] = _figure(row["clock"]["rate"]).rjust(7)
    cells["time"] = duration(row["clock"]["seconds"]).rjust(5)
    if progress.best is not None:
        cells["best"] = "*" if progress.best == progress.epoch else ""
    return cells


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Return metrics on one line, accuracy in percent."""
    return "  ".join(f"{name} {_number(name, value)}" for name, value in metrics.items())


def headlines(metrics: Mapping[str, Mapping[str, float]], task: Task) -> list[str]:
    """Return the task's headline metric on each split, such as `test accuracy 91.85%`."""
    name = task.headline
    return [f"{split} {metrics_text({name: values[name]})}" for split, values in metrics.items()]


def duration(seconds: float) -> str:
    """Return a duration for people.

    >>> duration(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short_unit(unit: str) -> str:
    """Return a unit as it stands before `/s`.

    >>> short_unit("images")
    'img'
    """
    return _UNITS.get(unit, unit)


def _number(metric: str, value: float) -> str:
    if metric.endswith("accuracy"):
        return f"{value:.2%}"
    return f"{value:{'.4f' if value < 1e4 else '.3g'}}"


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
