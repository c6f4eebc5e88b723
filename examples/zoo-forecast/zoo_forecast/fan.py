"""The analyzer: fan charts."""

import math
from typing import Annotated

import torch
from msgspec import Meta

from zoo.interfaces import Analysis, Analyzer
from zoo.plugin import style, untouched


class Fan(Analyzer):
    """Forecasts of some inputs, with the interval between the outermost quantiles, and what followed.

    Args:
        count: maximum number of inputs to draw.
        shown: number of hours of the history to draw.
    """

    def __init__(
        self, *, count: Annotated[int, Meta(ge=1, le=30)] = 4, shown: Annotated[int, Meta(ge=1)] = 72
    ) -> None:
        self.count, self.shown = count, shown

    def analyze(self, model, batches, *, subject):
        """Return `fan.png`, and the table `forecasts` with the mean width of each forecast's interval."""
        charts = []
        with untouched(model) as inner, torch.no_grad():
            for batch in batches:
                some = self.count - len(charts)
                if some <= 0:
                    break
                forecasts = inner(batch.inputs[:some]).float()
                known = batch.targets[:some] if batch.targets.ndim == 2 else [None] * len(forecasts)
                charts += zip(batch.inputs[:some, -self.shown :], forecasts, known, strict=True)
        names = subject.names or [f"input {number}" for number in range(len(charts))]
        (std,) = subject.preprocess["std"]
        rows = [
            {"input": name, "interval": std * float((forecast[:, -1] - forecast[:, 0]).mean())}
            for name, (_, forecast, _) in zip(names, charts, strict=False)
        ]
        return Analysis(
            tables={"forecasts": rows},
            figures={
                "fan.png": lambda: style.png(fan_plot(charts, names, subject.preprocess, title=subject.title))
            },
        )


def fan_plot(charts, names, preprocess, *, title):
    """Return a figure with a chart for each history (T,), its quantiles (H, Q) and, if known, values (H,)."""
    (mean,), (std,) = preprocess["mean"], preprocess["std"]
    columns = min(2, len(charts))
    rows = math.ceil(len(charts) / columns)
    low, high = (f"{100 * preprocess['quantiles'][place]:g}%" for place in (0, -1))
    about = f"{preprocess['unit']} by hour; the band is the forecast from the {low} to the {high} quantile"
    figure = style.figure(5 * columns, 2 * rows + 0.3, title=title, subtitle=about)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    for axes in grid[len(charts) :]:
        axes.set_axis_off()
    for axes, name, (history, forecast, known) in zip(grid, names, charts, strict=False):
        style.tidy(axes)
        past, hours = range(1 - len(history), 1), range(1, len(forecast) + 1)
        values = (forecast.cpu() * std + mean).T  # (Q, H)
        middle = len(values) // 2
        axes.plot(past, history.cpu() * std + mean, color=style.INK, linewidth=1, label="history")
        for place in range(middle):
            lower, upper = values[place], values[-1 - place]
            axes.fill_between(hours, lower, upper, color=style.BLUE, alpha=0.25, linewidth=0)
        axes.plot(hours, values[middle], color=style.BLUE, linewidth=1.5, label="median forecast")
        if known is not None:
            axes.plot(hours, known.cpu() * std + mean, ".", color=style.ORANGE, markersize=4, label="actual")
        axes.set_title(name, loc="left", fontsize=style.SMALL)
        axes.set_xticks(range(-(len(history) // 24) * 24, len(forecast) + 1, 24))
    parts = grid[0].get_legend_handles_labels()
    figure.legend(*parts, loc="outside lower left", ncols=3, frameon=False, fontsize=style.SMALL)
    return figure
