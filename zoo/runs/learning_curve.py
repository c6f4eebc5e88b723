"""The learning curve of a run, from the rows of its epochs and steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.files import style
from zoo.interfaces import SPLITS, Task
from zoo.training.best_epoch import best_epoch, epochs_in, row_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Validation is what to look at
_COLORS = {"train": style.MUTED, "val": style.BLUE, "test": style.ORANGE}
# How many times its lowest value a loss may reach before its axis becomes logarithmic
_SPIKE = 20
_WIDTH, _PANEL, _RATE_PANEL = 7, 2.6, 1.0  # inches
# Most epochs whose points are dots too
_DOTS = 30


def draw_learning_curve(
    history: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    title: str,
    subtitle: str = "",
    steps: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """Plot the task's primary metric, the loss and the learning rate by epoch; return the figure.

    The best epoch is marked, and a loss with spikes has a logarithmic axis. For a single epoch, the loss is
    plotted by step.

    Args:
        history: the rows of the finished epochs, at least one.
        steps: rows `{step, loss, lr}` for some of the run's steps, counted from its start.
    """
    last = history[-1]
    primary_metric = task.spec.primary_metric
    if epochs_in(history) == 1 and len(history) == 1:
        figure, (panel,), rates = _panels(["loss"], title, subtitle)
        _draw_epoch(panel, last, steps)
        _draw_rates(rates, {step["step"]: step["lr"] for step in steps}, xlabel="step")
    else:
        best = best_epoch(history, task)
        names = ["loss"] if primary_metric == "loss" else [primary_metric, "loss"]
        figure, panels, rates = _panels(names, title, f"{subtitle}\n{_summary(history, task, best)}".strip())
        for panel, name in zip(panels, names, strict=True):
            _draw_metric(panel, history, name, best)
        style.legend(panels[0], right=best is not None and 2 * best < len(history))
        per_epoch = max(last["steps"], 1) / last["epoch"]
        _draw_rates(rates, {step["step"] / per_epoch: step["lr"] for step in steps}, xlabel="epoch")
    for panel in figure.axes[:-1]:
        _scale(panel, task.spec.units.get(panel.get_ylabel(), ""))
    return figure


def _panels(names: Sequence[str], title: str, subtitle: str) -> tuple[Figure, list[Axes], Axes]:
    """Return a figure, its axes for some metrics, and smaller axes below for the learning rate."""
    figure = style.figure(_WIDTH, _PANEL * len(names) + _RATE_PANEL, title=title, subtitle=subtitle)
    ratios = [_PANEL] * len(names) + [_RATE_PANEL]
    *panels, rates = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    for panel, name in zip(panels, names, strict=True):
        style.tidy(panel)
        panel.set_ylabel(name)
    style.tidy(rates, frame=True)
    figure.align_ylabels()
    return figure, panels, rates


def _summary(history: Sequence[Mapping[str, Any]], task: Task, best: int | None) -> str:
    """Return the primary metric of the best epoch, or of the last epoch if there is no validation."""
    name = task.spec.primary_metric
    unit = task.spec.units.get(name, "")
    if best is None:
        split = "test" if "test" in history[-1] else "train"
        value = history[-1][split][name]
        about = f"{epochs_in(history)} epochs without validation, {split}"
    else:
        value = row_of(history, best)["val"][name]
        about = f"best of {epochs_in(history)} epochs: epoch {best}, val"
    figure = f"{value:.1%}" if unit == "%" else f"{value:.4g} {unit}"
    return f"{about} {name} {figure}".strip()


def _draw_epoch(panel: Axes, row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
    """Draw the only epoch of a run: the training loss by step, and the final loss on the other splits."""
    losses = {step["step"]: step["loss"] for step in steps}
    panel.plot([*losses], [*losses.values()], color=_COLORS["train"], linewidth=0.9, label="train, by step")
    for split in SPLITS[1:]:
        if split in row:
            loss = row[split]["loss"]
            label = f"{split} {loss:.4g}"
            panel.plot(row["steps"], loss, "o", color=_COLORS[split], label=label, clip_on=False)
    style.legend(panel)


def _draw_metric(axes: Axes, history: Sequence[Mapping[str, Any]], name: str, best: int | None) -> None:
    """Draw a metric of every split by epoch, and mark the best epoch."""
    for split in SPLITS:
        points = {row["epoch"]: row[split][name] for row in history if split in row}
        marker = "o" if len(history) <= _DOTS or len(points) == 1 else None
        if points:
            axes.plot(
                [*points],
                [*points.values()],
                color=_COLORS[split],
                label=split,
                marker=marker,
                markersize=3.5,
            )
    if best is not None:
        axes.axvline(best, color=_COLORS["val"], linewidth=1, linestyle=":")
        value = row_of(history, best)["val"][name]
        axes.plot(best, value, "o", color=_COLORS["val"], markerfacecolor="none", markersize=9)


def _draw_rates(axes: Axes, rates: Mapping[float, float], *, xlabel: str) -> None:
    """Draw the learning rate by epoch or by step, and finish the shared axis of all panels."""
    from matplotlib.ticker import MaxNLocator

    axes.plot([*rates], [*rates.values()], color=style.GREEN, linewidth=1.3)
    axes.set(xlabel=xlabel, ylabel="learning\nrate")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter("{x:g}")


def _scale(axes: Axes, unit: str) -> None:
    """Label the vertical axis with its unit; a loss with spikes has a logarithmic axis."""
    name = axes.get_ylabel()
    if unit == "%":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        return
    label = f"{name} ({unit})" if unit else name
    lowest, highest = axes.dataLim.minposy, axes.dataLim.ymax
    if name == "loss" and highest > _SPIKE * lowest:
        label += ", log scale"
        axes.set_yscale("log", subs=[2, 5])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}" if highest < 1_000 * lowest else "")
    axes.set_ylabel(label)
