"""Figures: the learning curve of a run, and the loss along a learning-rate range test."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.files.atomic import atomic_write
from zoo.interfaces import SPLITS, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_learning_curve", "draw_lr_curve", "figure_png", "save_figure"]


def draw_learning_curve(history: Sequence[Mapping[str, Any]], task: Task, *, title: str) -> Figure:
    """Return a figure of the loss, and of the task's headline metric, by epoch."""
    from matplotlib.figure import Figure

    names = ["loss"] if task.headline == "loss" else ["loss", task.headline]
    figure = Figure(figsize=(5 * len(names), 3.6), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        for split in SPLITS:
            points = [(row["epoch"], row[split][name]) for row in history if split in row]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", label=split)
        axis.set(xlabel="epoch", ylabel=f"{name} (nats)" if name == "loss" else name)
        axis.legend()
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def draw_lr_curve(
    points: Sequence[tuple[float, float]],
    losses: Sequence[float],
    suggestions: Mapping[str, float],
    *,
    title: str,
) -> Figure:
    """Return a figure of the loss by learning rate, with the suggestions marked.

    Args:
        points: (learning rate, smoothed loss) at each step.
        losses: the unsmoothed loss at each step.
        suggestions: learning rates by name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    rates, smoothed = zip(*points, strict=True)
    axis.plot(rates, losses, color="0.75", linewidth=1, label="loss")
    axis.plot(rates, smoothed, color="black", label="smoothed")
    for number, (name, lr) in enumerate(suggestions.items()):
        axis.axvline(lr, color=f"C{number}", linestyle="--", label=f"{name} {lr:.2g}")
    lowest, highest = min(smoothed), max(smoothed[: smoothed.index(min(smoothed)) + 1])
    margin = 0.3 * (highest - lowest)  # a diverging loss leaves through the top
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss (nats)")
    axis.set_ylim(min(losses) - margin, highest + margin)
    axis.legend()
    axis.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def figure_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG file. Raises OSError."""
    with atomic_write(path) as file:
        file.write(figure_png(figure))
