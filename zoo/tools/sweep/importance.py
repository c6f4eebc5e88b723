"""Measure and plot which options of a sweep matter, with PED-ANOVA."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.config import options
from zoo.files import style
from zoo.tools.sweep.search_methods import distributions
from zoo.tools.sweep.search_space import Range, Space
from zoo.tools.sweep.workers import quiet_optuna

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.registry.specs import TaskSpec

_COLUMNS, _WIDTH, _HEIGHT = 3, 2.9, 2.4  # of panels, in inches
# A logarithmic axis of fewer decades has labels between the powers of ten
_FEW_DECADES = 2.5
# How a mean and its interval are drawn
_MEAN: Mapping[str, Any] = {"fmt": "_", "color": style.ORANGE, "capsize": 3}


def importance(space: Space, scored: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    """Return the importance of each option; the values add up to 1.

    PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) compares the options of the best tenth of the trials
    with those of all trials.

    Args:
        scored: the options of each trial and its score; lower is better.
    """
    optuna = quiet_optuna()
    kinds = distributions(space)
    study = optuna.create_study()
    for point, score in scored:
        params = {
            name: point[name] if isinstance(values, Range) else options.text(point[name])
            for name, values in space.items()
        }
        study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=score))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():  # trials with equal scores
        warnings.filterwarnings("ignore", "Target and region quantiles select the same set of trials")
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: found.get(name, 0.0) for name in sorted(space, key=lambda name: -found.get(name, 0.0))}


def draw_importance(
    points: Sequence[tuple[Mapping[str, Any], float]],
    logarithmic: Mapping[str, bool],
    shares: Mapping[str, float],
    task: TaskSpec,
    *,
    title: str,
    means: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """Plot the metric of each trial against each option, the most important option first.

    Args:
        points: the options of each trial, and its primary metric on validation data.
        logarithmic: whether the axis of an option is logarithmic.
        means: means over seeds or folds, as `Sweep.means` returns them, which are drawn with their intervals.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter

    names = [*shares, *(name for name in logarithmic if name not in shares)]
    columns = min(_COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    metric = task.primary_metric.replace("_", " ")
    better = "higher" if task.primary_metric in task.higher_is_better else "lower"
    figure = style.figure(
        max(columns * _WIDTH, 5),
        lines * _HEIGHT,
        title=title,
        subtitle=f"validation {metric} of each trial, and means with 95% intervals"
        if means
        else f"validation {metric} of each trial by option; {better} is better",
    )
    for number, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, number + 1)
        style.tidy(axes, frame=True)
        values = [point[name] for point, _ in points]
        is_number = all(isinstance(value, int | float) for value in values)
        places = values if is_number else [options.text(value) for value in values]
        axes.scatter(places, [score for _, score in points], s=18, color=style.BLUE, alpha=0.7, linewidths=0)
        for row in means:
            low, high = row["interval"] or (row["mean"], row["mean"])
            if name in row["options"]:
                at = row["options"][name] if is_number else options.text(row["options"][name])
                axes.errorbar([at], row["mean"], [[row["mean"] - low], [high - row["mean"]]], **_MEAN)
            elif not row["options"]:
                axes.axhline(row["mean"], color=style.ORANGE)
                axes.axhspan(low, high, color=style.ORANGE, alpha=0.15, linewidth=0)
        if logarithmic[name]:
            decades = math.log10(max(values) / min(values))
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < _FEW_DECADES else (1,)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        elif all(isinstance(value, int) for value in values):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(name)
        if name in shares:
            axes.set_title(f"importance {shares[name]:.0%}", loc="left", fontsize=style.TEXT, color=style.INK)
        if task.units.get(task.primary_metric) == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        if number % columns == 0:
            axes.set_ylabel(metric)
    return figure
