"""Show progress: an updating line on a terminal or in a notebook, or occasional lines elsewhere.

Code that does the work reports numbers to a plain function; only this module formats and displays them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Self

from zoo.console.figures import cell, figures
from zoo.console.reports import Progress
from zoo.console.screens import Screen, screen
from zoo.console.tables import Table
from zoo.files.work import listening

# Least time between two changes of a line
_LIVE_SECONDS = 0.1
# Work that is done sooner is not shown
_SHORT = 0.5
_SPLITS = ("train", "val", "test")
_UNITS = {"images": "img", "characters": "char"}


def quiet() -> AbstractContextManager[Callable[..., None]]:
    """Return a context manager that yields a report function that does nothing."""
    return nullcontext(lambda *_, **__: None)


class _Display:
    """A display with a title, permanent lines, and an updating line.

    Use it as a context manager. Within the block, it also shows work that is reported to `zoo.files.work`,
    such as downloads.

    Args:
        title: a line to print immediately.
    """

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._what = ""
        self._first = self._last = 0
        self._since = self._shown = 0.0

    @cached_property
    def _screen(self) -> Screen:
        return screen()

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
        """Show the amount of finished work, the speed, and the estimated time left.

        Args:
            what: the work, in one or two words.
            total: the total amount of work; 0 if unknown.
            unit: unit of the counts, such as `images`; `bytes` are shown as megabytes.
            note: text to append.
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
            parts.append(f"{_pace(rate)} {short_unit(unit)}/s")
        if total and rate:
            parts.append(f"{duration((total - done) / rate)} left")
        after = "  ".join(filter(None, [*parts, note]))
        self._screen.show(what, done / total if total else None, after)


class Bar(_Display):
    """A report function for counted work, with the same arguments as `work`."""

    __call__ = _Display.work

    def note(self, text: str) -> None:
        """Print a permanent line if the output is a terminal."""
        if self._screen.width is not None:
            self._screen.keep(text)


class TrainingProgress(_Display):
    """A report function for training: an updating line, and a table with a row for each epoch.

    Args:
        title: a line to print immediately.
        all_metrics: show a column for each metric, not only the loss, the task's primary metric and the
            metrics that the training names.
    """

    def __init__(self, title: str = "", *, all_metrics: bool = False) -> None:
        super().__init__(title)
        self._all_metrics = all_metrics
        self._splits: list[str] = []
        self._table: Table | None = None

    def __call__(self, progress: Progress) -> None:
        """Show a step, the evaluation after an epoch, or a finished epoch."""
        epoch = f"epoch {progress.epoch}/{progress.epochs}"
        if progress.row is not None:
            self._keep_row(progress, progress.row)
        elif progress.split:
            self.work(f"{epoch} {progress.split}", progress.done, progress.total, progress.unit)
        elif (now := time.monotonic()) - self._shown >= _LIVE_SECONDS:
            self._shown, fraction = now, progress.batch / max(progress.batches, 1)
            pace = f"{_pace(progress.rate)} {short_unit(progress.unit)}/s"
            left = "" if progress.left is None else f"  {duration(progress.left)} left"
            self._screen.show(epoch, fraction, f"{fraction:4.0%}  loss {progress.loss:.4f}  {pace}{left}")

    def _keep_row(self, progress: Progress, row: Mapping[str, Any]) -> None:
        if self._table is None:
            self._splits = [
                split for split in _SPLITS if split in row or (split == "train" and not progress.epoch)
            ]
        cells = _cells(progress, row, self._splits, self._all_metrics)
        if self._table is None:
            numbers, width = range(len(cells)), self._screen.width
            self._table = Table([*cells], width=width, numbers=numbers, put=self._screen.keep)
        self._screen.clear()  # the last step is no news
        self._table.print([[cells.get(name, "") for name in self._table.header]])
        for split in row.keys() & {*_SPLITS} - {*self._splits}:  # test, measured only after the last epoch
            self._screen.keep(f"{split}: {figures(row[split], progress.units)}")


def _cells(
    progress: Progress, row: Mapping[str, Any], splits: Sequence[str], all_metrics: bool
) -> dict[str, str]:
    """Return the columns for an epoch: losses, metrics on its last split, rate and time."""
    cells = {"epoch": f"{progress.epoch}/{progress.epochs}".rjust(len(f"{progress.epochs}") * 2 + 1)}
    cells |= {f"{split} loss": cell(row[split]["loss"]) if split in row else "" for split in splits}
    for name, value in row[splits[-1]].items():
        if name != "loss" and (all_metrics or name in progress.shown):
            label = f"{splits[-1]} {name}" if name == progress.shown[0] else name.replace("_", " ")
            cells[label] = cell(value, progress.units.get(name, ""))
    trained = progress.epoch > 0
    cells[f"{short_unit(progress.unit)}/s"] = (_pace(row["clock"]["rate"]) if trained else "").rjust(7)
    cells["time"] = (duration(row["clock"]["seconds"]) if trained else "").rjust(5)
    if progress.best is not None:
        cells["best"] = "*" if progress.best == progress.epoch else ""
    return cells


def duration(seconds: float) -> str:
    """Format a duration in seconds.

    >>> duration(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short_unit(unit: str) -> str:
    """Abbreviate a unit for use before `/s`.

    >>> short_unit("images")
    'img'
    """
    return _UNITS.get(unit, unit)


def _pace(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
