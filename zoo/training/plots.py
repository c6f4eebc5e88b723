"""The learning curve of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.interfaces import Task
from zoo.storage import atomic_write

__all__ = ["learning_curve"]


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
