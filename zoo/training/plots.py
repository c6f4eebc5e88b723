"""Pictures of training: the learning curve of a run, the loss along a sweep of learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.files.storage import atomic_write
from zoo.interfaces import Task
from zoo.training.lr_finder import Found

__all__ = ["learning_curve", "lr_curve"]


def learning_curve(path: Path, history: Sequence[dict[str, Any]], task: Task, *, title: str) -> None:
    """Write a PNG of loss, and of the task's headline metric, by epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = ["loss"] if task.headline == "loss" else ["loss", task.headline]
    figure = Figure(figsize=(5 * len(names), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        for split in ("train", "val", "test"):
            points = [(row["epoch"], row[split][name]) for row in history if split in row]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", label=split)
        axis.set(xlabel="epoch", ylabel=f"{name} (nats)" if name == "loss" else name)
        axis.legend()
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def lr_curve(path: Path, found: Found, *, title: str) -> None:
    """Write a PNG of the loss by learning rate, with the suggestions marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    rates, smoothed = zip(*found.curve, strict=True)
    axis.plot(rates, found.losses, color="0.75", linewidth=1, label="loss")
    axis.plot(rates, smoothed, color="black", label="smoothed")
    for number, (name, lr) in enumerate(asdict(found.suggestions).items()):
        axis.axvline(lr, color=f"C{number}", linestyle="--", label=f"{name} {lr:.2g}")
    lowest, highest = min(smoothed), max(smoothed[: smoothed.index(min(smoothed)) + 1])
    margin = 0.3 * (highest - lowest)  # what diverges leaves through the top
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss (nats)")
    axis.set_ylim(min(found.losses) - margin, highest + margin)
    axis.legend()
    axis.grid(alpha=0.3)
    figure.suptitle(title)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
