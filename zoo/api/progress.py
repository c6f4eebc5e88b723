"""Progress as people see it, on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from zoo.training.loop import Progress

__all__ = ["Reporter", "duration", "metrics_text"]

_PLAIN_SECONDS = 15.0


class Reporter:
    """A report function that prints. Use it as a context manager."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._title = title
        terminal = self._console.is_terminal
        self._live = Live(console=self._console, refresh_per_second=8, transient=True) if terminal else None
        self._told = time.monotonic()

    def __enter__(self) -> Reporter:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far training is; keep a line for each epoch, under a title once training has begun."""
        if self._title:
            self._print(self._title)
            self._title = ""
        if progress.row is not None:
            self._print(_epoch_text(progress, progress.row))
        elif self._live:
            self._live.update(_live_line(progress))
        elif time.monotonic() - self._told > _PLAIN_SECONDS:
            share = 100 * progress.batch // progress.batches
            self._print(f"epoch {progress.epoch}/{progress.epochs} {share:3d}%  {_pace_text(progress)}")

    def _print(self, line: str) -> None:
        self._told = time.monotonic()
        if self._live:
            self._console.print(line, soft_wrap=True, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _live_line(progress: Progress) -> Table:
    line = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=progress.batches, completed=progress.batch, width=30)
    line.add_row(f"epoch {progress.epoch}/{progress.epochs}", bar, Text(_pace_text(progress)))
    return line


def _pace_text(progress: Progress) -> str:
    return f"loss {progress.loss:.4f}  {progress.rate:,.0f}/s  {duration(progress.left)} left"


def _epoch_text(progress: Progress, row: Mapping[str, Any]) -> str:
    parts = [f"epoch {progress.epoch}/{progress.epochs}"]
    parts += [f"{split} {metrics_text(row[split])}" for split in ("train", "val", "test") if split in row]
    parts.append(f"{row['clock']['rate']:,.0f}/s  {duration(row['clock']['seconds'])}")
    return "  |  ".join(parts)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Return metrics in one line, accuracy in percent."""
    return "  ".join(
        f"{name} {value:.2%}" if name == "accuracy" else f"{name} {value:{'.4f' if value < 1e4 else '.3g'}}"
        for name, value in metrics.items()
    )


def duration(seconds: float) -> str:
    """Return a duration for people.

    >>> duration(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
