"""Draw the curves of several runs in one figure, and write an HTML report of the runs."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from zoo.config.arguments import checked
from zoo.console.html_page import html_page
from zoo.errors import OptionError, RunError, shortened
from zoo.files import run_files, style
from zoo.files.atomic import write_output
from zoo.registry.registry import Registry, default_registry
from zoo.runs.run_table import differing_options, list_runs
from zoo.runs.step_log import read_rows
from zoo.training.saved import Row, StepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart with any kind of color vision (Okabe & Ito 2008); more lines are dashed, then dotted
_COLORS = (style.BLUE, style.ORANGE, style.GREEN, "#cc79a7", "#e69f00", "#56b4e9", style.INK)
_LINES = ("-", "--", ":")
# The most lines that the legend names
_NAMED = 20
_WIDTH, _PANEL = 9, 2.8  # inches
# Weight of the past in the moving average of the training loss
_SMOOTH = 0.9

Run = Mapping[str, Any]
Points = dict[float, float]


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ only in their seed; `name` is shown in the legend."""

    name: str
    runs: Sequence[Run]

    def points(self, split: str, metric: str) -> list[Points]:
        """Return each run's values of a metric by epoch, or of the training loss by step."""
        if metric == "step":
            return [smoothed({row["step"]: row["loss"] for row in run["steps"]}) for run in self.runs]
        rows = [[row for row in run["history"] if metric in row.get(split, {})] for run in self.runs]
        return [{row["epoch"]: row[split][metric] for row in history} for history in rows]


@checked
def plot_runs(*runs: str | Path, metric: str | None = None, registry: Registry | None = None) -> Figure:
    """Plot the training loss of runs by step, and their primary metric on validation data by epoch.

    Runs that differ only in their seed are drawn as a single line, which shows their mean, with a band from
    the lowest to the highest value. The training loss is smoothed by an exponential moving average.

    Args:
        runs: run directories, or folders that contain run directories.
        metric: metric to plot instead of the primary one, such as `val.loss`. Without validation, the
            primary metric on training data is plotted.

    Returns:
        The matplotlib figure, which a notebook displays.

    Raises:
        RunError: a folder does not contain a run, or no run has a finished epoch.
        OptionError: no run has that metric.
    """
    registry = default_registry() if registry is None else registry
    return draw_runs([row for run in runs for row in curves_in(run, registry)], metric)


@checked
def report_runs(
    folder: str | Path = "runs", out: str | Path = "report.html", *, registry: Registry | None = None
) -> None:
    """Write a self-contained HTML file with a table and the curves of the runs in a folder.

    Raises RunError if the folder has no run with a finished epoch, and OutputError if the file cannot be
    written.
    """
    registry = default_registry() if registry is None else registry
    write_output(Path(out), report(curves_in(folder, registry), str(folder)).encode())


def curves_in(folder: str | Path, registry: Registry) -> list[dict[str, Any]]:
    """Return the rows of the runs in a folder with their tasks, options, epochs and steps.

    Raises RunError if there are none.
    """
    found = list_runs(folder, registry=registry)
    if not found:
        raise RunError(f"{folder} contains no runs", hint="`zoo train` writes runs to runs/")
    return [
        row
        | {"task": registry.tasks.get(row["task"]), "options": options}
        | {"history": read_rows(Path(row["run"]) / run_files.METRICS, Row)}
        | {"steps": read_rows(Path(row["run"]) / run_files.STEPS, StepRow)}
        for row, options in zip(found, found.options(), strict=True)
    ]


def draw_runs(runs: Sequence[Run], metric: str | None = None) -> Figure:
    """Draw the figure of `plot_runs` from the rows of `curves_in`."""
    if not any(run["history"] for run in runs):
        raise RunError("none of these runs has a finished epoch to plot")
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    groups = grouped(runs)
    split, name = _metric(runs, metric)
    about = "training loss by step, smoothed" + f", and {split} {name} by epoch"
    title = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    figure = style.figure(_WIDTH, 2 * _PANEL, title=title, subtitle=about)
    losses, metrics = figure.subplots(2, 1)
    for axes, key, label in (
        (losses, ("train", "step"), "training loss"),
        (metrics, (split, name), f"{split} {name}"),
    ):
        style.tidy(axes, frame=True)
        for number, group in enumerate(groups):
            _draw(axes, group.points(*key), number, group.name if axes is losses else "")
        axes.set(xlabel="step" if axes is losses else "epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    task = next((run["task"] for run in runs if run["task"]), None)
    if task is not None and task.units.get(name) == "%":
        metrics.yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = losses.get_legend_handles_labels()
    if len(labels) > _NAMED:
        handles[_NAMED:] = [Line2D([], [], linestyle="none")]
        labels[_NAMED:] = [f"and {len(labels) - _NAMED} more"]
    figure.legend(
        handles,
        labels,
        loc="outside right upper",
        frameon=False,
        fontsize=style.SMALL,
        labelcolor=style.INK,
    )
    return figure


def grouped(runs: Sequence[Run]) -> list[SeedGroup]:
    """Group runs whose options are equal, except for the seed. Groups are named after their directories.

    Runs that also have the same seed are not grouped.
    """
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        key = tuple(sorted((name, value) for name, value in run["options"].items() if name != "seed"))
        groups.setdefault(key, []).append(run)
    named: list[SeedGroup] = []
    for members in groups.values():
        if 1 < len(members) == len({run["options"].get("seed") for run in members}):
            name = f"{os.path.commonpath([run['run'] for run in members])}, {len(members)} seeds"
            named.append(SeedGroup(name, members))
        else:
            named += [SeedGroup(run["run"], [run]) for run in members]
    return named


def smoothed(points: Mapping[float, float]) -> Points:
    """Return an exponential moving average, without bias toward its start (Kingma & Ba 2015, section 3)."""
    mean = weight = 0.0
    values: Points = {}
    for place, value in points.items():
        mean, weight = _SMOOTH * mean + (1 - _SMOOTH) * value, _SMOOTH * weight + 1 - _SMOOTH
        values[place] = mean / weight
    return values


def _metric(runs: Sequence[Run], metric: str | None) -> tuple[str, str]:
    """Return the split and the name of the metric to plot."""
    measured = {
        (split, name)
        for run in runs
        for row in run["history"]
        for split in row
        if isinstance(row[split], dict)
        for name in row[split]
        if split != "clock"
    }
    if metric is not None:
        split, _, name = metric.partition(".")
        if (split, name) not in measured:
            known = ", ".join(sorted(".".join(pair) for pair in measured))
            raise OptionError(f"metric: no run has the metric {metric!r}", hint=f"metrics: {known}")
        return split, name
    primary = next((run["task"].primary_metric for run in runs if run["task"]), "loss")
    return ("val" if ("val", primary) in measured else "train"), primary


def _draw(axes: Axes, lines: Sequence[Points], number: int, label: str) -> None:
    """Draw the mean of some lines, and the band between their lowest and highest values."""
    places = sorted(set[float]().union(*lines))
    values = [[line[place] for line in lines if place in line] for place in places]
    color = _COLORS[number % len(_COLORS)]
    dashes = _LINES[number // len(_COLORS) % len(_LINES)]
    marker = "." if len(places) == 1 else ""  # a line of one point would not be seen
    means = [fmean(each) for each in values]
    axes.plot(places, means, dashes, marker=marker, color=color, linewidth=1.4, label=shortened(label))
    if len(lines) > 1:
        low, high = [min(each) for each in values], [max(each) for each in values]
        axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)


def report(runs: Sequence[Run], title: str) -> str:
    """Return a self-contained HTML page with a table of runs and their curves.

    The table includes the options that differ. Raises RunError if no run has a finished epoch.
    """
    figure = base64.b64encode(style.png(draw_runs(runs))).decode()
    differing = [name for name in differing_options([run["options"] for run in runs]) if name != "epochs"]
    metrics = dict.fromkeys(
        f"{split}.{name}" for run in runs for split, values in run["metrics"].items() for name in values
    )
    head = ["run", "status", "epochs", "seconds", *metrics, *differing]
    rows = [
        [
            run["run"],
            run["status"],
            f"{run['epochs']}/{run['options'].get('epochs', '?')}",
            run["seconds"],
            *(run["metrics"].get(key.partition(".")[0], {}).get(key.partition(".")[2]) for key in metrics),
            *(run["options"].get(name) for name in differing),
        ]
        for run in runs
    ]
    lines = [_row(head, "th"), *(_row(row, "td") for row in rows)]
    about = f"{len(runs)} run{'s' * (len(runs) != 1)}; metrics of the best epoch by validation"
    body = _BODY.format(about=about, table="\n".join(lines), figure=figure)
    return html_page(f"Runs in {title}", body)


def _row(values: Sequence[object], tag: str) -> str:
    cells = [
        f"<{tag}{' class=n' * isinstance(v, int | float)}>{html.escape(_text(v))}</{tag}>" for v in values
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else shortened(str(value))


_BODY = """<p>{about}</p>
<div tabindex="0" role="region" aria-label="table of runs"><table>
{table}
</table></div>
<div tabindex="0" role="region" aria-label="curves">
<img alt="training loss and validation metric of each run" src="data:image/png;base64,{figure}">
</div>"""
