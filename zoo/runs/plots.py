"""The figure of a run: its learning curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.training import TrainConfig
from zoo.files import style
from zoo.files.atomic import atomic_write
from zoo.interfaces import SPLITS, Task
from zoo.training.early_stopping import best_epoch
from zoo.training.schedules import learning_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_learning_curve", "save_figure"]

# Validation is what to look at
_COLORS = {"train": style.MUTED, "val": style.BLUE, "test": style.ORANGE}
# How many times its lowest value a loss may reach before its axis becomes logarithmic
_SPIKE = 20
_WIDTH, _PANEL, _RATE_PANEL = 7, 2.6, 1.0  # inches
# Most epochs whose points are dots too, and points of a learning rate that is drawn from its schedule
_DOTS, _RATES = 30, 300
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw_learning_curve(
    history: Sequence[Mapping[str, Any]],
    task: Task,
    config: TrainConfig,
    *,
    title: str,
    subtitle: str = "",
    steps: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """Return a figure of the task's headline metric, the loss and the learning rate, by epoch.

    The best epoch is marked, and a loss that spikes has a logarithmic axis. A single epoch is drawn by its
    steps; without those, the figure states its metrics.

    Args:
        history: the rows of the finished epochs, at least one.
        steps: `{step, loss, lr}` of some of the run's steps, counted from its start.
    """
    if len(history) == 1:
        return _draw_epoch(history[0], task, steps, title=title, subtitle=subtitle)
    names = ["loss"] if task.spec.headline == "loss" else [task.spec.headline, "loss"]
    best = best_epoch(history, task)
    subtitle = f"{subtitle}\n{_summary(history, task, best)}".strip()
    figure, panels, rates = _panels(len(names), title, subtitle)
    for panel, name in zip(panels, names, strict=True):
        _draw_metric(panel, history, name, task.spec.units.get(name, ""), best)
    style.legend(panels[0], right=best is not None and 2 * best < len(history))
    last = history[-1]
    if steps and last["steps"]:
        per_epoch = last["steps"] / last["epoch"]
        points = [(step["step"] / per_epoch, step["lr"]) for step in steps]
    else:
        places = [last["epoch"] * n / _RATES for n in range(_RATES + 1)]
        points = [(place, learning_rate(config, place)) for place in places]
    _draw_rates(rates, points, xlabel="epoch")
    return figure


def _draw_epoch(
    row: Mapping[str, Any], task: Task, steps: Sequence[Mapping[str, Any]], *, title: str, subtitle: str
) -> Figure:
    """Return a figure of a run's only epoch: the training loss by step, and other splits' loss after it."""
    if not steps:
        names = dict.fromkeys([task.spec.headline, "loss"])
        after = [
            f"{split} {', '.join(_text(n, row[split][n], task) for n in names)}"
            for split in SPLITS
            if split in row
        ]
        text = "\n".join(["One epoch is not enough for a curve. After it:", *after])
        return style.message(text, title=title, subtitle=subtitle)
    figure, (panel,), rates = _panels(1, title, subtitle)
    losses = [step["loss"] for step in steps]
    panel.plot(
        [step["step"] for step in steps],
        losses,
        color=_COLORS["train"],
        linewidth=0.9,
        label="train, by step",
    )
    for split in SPLITS[1:]:
        if split in row:
            losses.append(row[split]["loss"])
            label = f"{split} {losses[-1]:.4g}"
            panel.plot(row["steps"], losses[-1], "o", color=_COLORS[split], label=label, clip_on=False)
    _scale(panel, "loss", task.spec.units.get("loss", ""), losses)
    style.legend(panel)
    _draw_rates(rates, [(step["step"], step["lr"]) for step in steps], xlabel="step")
    return figure


def _panels(count: int, title: str, subtitle: str) -> tuple[Figure, list[Axes], Axes]:
    """Return a figure, its axes for so many metrics, and smaller ones below for the learning rate."""
    figure = style.figure(_WIDTH, _PANEL * count + _RATE_PANEL, title=title, subtitle=subtitle)
    ratios = [_PANEL] * count + [_RATE_PANEL]
    *panels, rates = figure.subplots(count + 1, 1, sharex=True, height_ratios=ratios)
    for panel in panels:
        style.tidy(panel)
    style.tidy(rates, frame=True)
    figure.align_ylabels()
    return figure, panels, rates


def _summary(history: Sequence[Mapping[str, Any]], task: Task, best: int | None) -> str:
    """Return the headline metric of the best epoch, or of the last one if nothing was validated."""
    if best is None:
        split = "test" if "test" in history[-1] else "train"
        value = _text(task.spec.headline, history[-1][split][task.spec.headline], task)
        return f"{len(history)} epochs without validation, {split} {value}"
    value = _text(task.spec.headline, history[best - 1]["val"][task.spec.headline], task)
    return f"best of {len(history)} epochs: epoch {best}, val {value}"


def _text(name: str, value: float, task: Task) -> str:
    """Return a metric with its unit."""
    unit = task.spec.units.get(name, "")
    return f"{name} {value:.1%}" if unit == "%" else f"{name} {value:.4g} {unit}".strip()


def _draw_metric(
    axes: Axes, history: Sequence[Mapping[str, Any]], name: str, unit: str, best: int | None
) -> None:
    """Draw a metric of every split by epoch, and mark the best epoch."""
    values: list[float] = []
    for split in SPLITS:
        points = {row["epoch"]: row[split][name] for row in history if split in row}
        if points:
            marker = "o" if len(points) <= _DOTS else None
            axes.plot(
                [*points],
                [*points.values()],
                color=_COLORS[split],
                label=split,
                marker=marker,
                markersize=3.5,
            )
            values += points.values()
    if best is not None:
        axes.axvline(best, color=_COLORS["val"], linewidth=1, linestyle=":")
        value = history[best - 1]["val"][name]
        axes.plot(best, value, "o", color=_COLORS["val"], markerfacecolor="none", markersize=9)
    _scale(axes, name, unit, values)


def _scale(axes: Axes, name: str, unit: str, values: Sequence[float]) -> None:
    """Label the vertical axis with its unit; a loss that spikes gets a logarithmic one."""
    label = _label(name, unit)
    axes.set_ylabel(label)
    if unit == "%":
        axes.yaxis.set_major_formatter(_percent)
    positive = [value for value in values if 0 < value < math.inf]
    if name == "loss" and positive and max(positive) > _SPIKE * min(positive):
        axes.set_yscale("log", subs=[2, 5])
        axes.set_ylabel(f"{label}, log scale")
        decades = math.log10(max(positive) / min(positive))
        axes.yaxis.set_major_formatter(_power if decades > 4 else _plain)
        axes.yaxis.set_minor_formatter(_plain if decades < 3 else "")


def _label(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit not in ("", "%") else name


def _draw_rates(axes: Axes, points: Sequence[tuple[float, float]], *, xlabel: str) -> None:
    """Draw the learning rate by epoch or by step, and finish the axis that all panels share."""
    from matplotlib.ticker import MaxNLocator

    axes.plot(*zip(*points, strict=True), color=style.GREEN, linewidth=1.3)
    axes.set(xlabel=xlabel, ylabel="learning\nrate")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(_plain)


def _percent(value: float, _: object) -> str:
    return f"{100 * value:g}%"


def _plain(value: float, _: object) -> str:
    return f"{value:g}"


def _power(value: float, _: object) -> str:
    return f"10{str(round(math.log10(value))).translate(_RAISED)}" if value > 0 else "0"


def save_figure(path: Path, figure: Figure, *, folder: int | None = None) -> None:
    """Write a figure as a PNG file. Raises OSError.

    Args:
        folder: descriptor of the open folder of `path`, if it may be moved meanwhile.
    """
    with atomic_write(path, folder=folder) as file:
        file.write(style.png(figure))
