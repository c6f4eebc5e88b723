"""Progress as people see it, on stderr: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from zoo.interfaces import Task
    from zoo.training.clock import Progress

__all__ = ["Bar", "TrainingProgress", "duration", "headlines", "metrics_text", "quiet"]

# Least time between two plain lines
_PLAIN_SECONDS = 15.0


def quiet() -> AbstractContextManager[Callable[..., None]]:
    """Return a report function that does nothing, as a context manager."""
    return nullcontext(lambda *_: None)


class _Display:
    """A title, lines that stay, and one line that changes."""

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._printed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_live" in vars(self) and self._live is not None:
            self._live.stop()

    @cached_property
    def _live(self) -> Live | None:
        """The line that changes, which starts with its first use; None if stderr is not a terminal."""
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        if not console.is_terminal:
            return None
        live = Live(console=console, refresh_per_second=8, transient=True)
        live.start()
        return live

    def keep(self, line: str = "") -> None:
        """Print a line that stays, below the title."""
        lines, self._title = [self._title, line], ""
        for text in filter(None, lines):
            self._printed = time.monotonic()
            if self._live is not None:
                self._live.console.print(text, soft_wrap=True, markup=False)
            else:
                print(text, file=sys.stderr, flush=True)

    def update(self, live: Callable[[], RenderableType], plain: Callable[[], str]) -> None:
        """Show the progress: live on a terminal, elsewhere as a line every 15 seconds."""
        self.keep()
        if self._live is not None:
            self._live.update(live())
        elif time.monotonic() - self._printed > _PLAIN_SECONDS:
            self.keep(plain())


class Bar(_Display):
    """A report function that shows what fraction of some work is done. Use it as a context manager."""

    def __call__(self, fraction: float, text: str = "") -> None:
        """Show the fraction, and a text beside it."""
        self.update(lambda: _line("", fraction, text), lambda: f"{fraction:4.0%}  {text}".rstrip())


class TrainingProgress(_Display):
    """A report function for training. Use it as a context manager."""

    def __call__(self, progress: Progress) -> None:
        """Show the progress within an epoch; keep a line for each finished epoch, under the title."""
        if progress.row is not None:
            self.keep(_epoch_text(progress, progress.row))
            return
        epoch = f"epoch {progress.epoch}/{progress.epochs}"
        fraction = progress.batch / max(progress.batches, 1)
        pace = f"loss {progress.loss:.4f}  {progress.rate:,.0f}/s  {duration(progress.left)} left"
        self.update(
            lambda: _line(epoch, fraction, pace), lambda: f"{epoch} {int(100 * fraction):3d}%  {pace}"
        )


def _line(before: str, fraction: float, after: str) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2))
    line.add_row(Text(before), ProgressBar(total=1.0, completed=fraction, width=30), Text(after))
    return line


def _epoch_text(progress: Progress, row: Mapping[str, Any]) -> str:
    parts = [f"epoch {progress.epoch}/{progress.epochs}"]
    parts += [f"{split} {metrics_text(row[split])}" for split in ("train", "val", "test") if split in row]
    parts.append(f"{row['clock']['rate']:,.0f}/s  {duration(row['clock']['seconds'])}")
    return "  |  ".join(parts)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Return metrics on one line, accuracy in percent."""
    return "  ".join(
        f"{name} {value:.2%}" if name == "accuracy" else f"{name} {value:{'.4f' if value < 1e4 else '.3g'}}"
        for name, value in metrics.items()
    )


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
