"""The figure of the calibration analyzer; matplotlib is imported when it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from zoo.plugin import style, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Most points of the curve
_POINTS = 2_000


def calibration_plot(
    bins: Sequence[Mapping[str, Any]],
    risks: NDArray[Any],
    scores: Mapping[str, float],
    *,
    title: str,
    width: float,
) -> Figure:
    """Return a figure with the reliability diagram, the histogram of confidences, and risk against coverage.

    Args:
        bins: the rows of `Reliability.bins`.
        risks: the error rate of the most confident 1, 2, ..., N predictions.
        width: width of a bin.
    """
    count = f"{len(risks):,} images"
    ece, low, high = (f"{100 * scores[name]:.1f}" for name in ("ece", "ece_low", "ece_high"))
    subtitle = (
        f"calibration error (ECE) {ece}%, 95% interval {low} to {high}%; {count}\n"
        f"a calibrated model would show {100 * scores['ece_if_calibrated']:.1f}%, because of noise alone"
    )
    figure = style.figure(9, 4.2, title=title, subtitle=subtitle)
    axes = figure.subplot_mosaic([["bars", "risk"], ["shares", "risk"]], height_ratios=[3, 1])
    rows = _without_one(bins, width)
    _draw_bars(axes["bars"], rows, width)
    _draw_shares(axes["shares"], rows, width, scores)
    _draw_risk(axes["risk"], risks, scores)
    return figure


def _without_one(bins: Sequence[Mapping[str, Any]], width: float) -> list[Mapping[str, Any]]:
    """Return the bins, with the predictions whose confidence is exactly 1 in the last one."""
    rows = list(bins)
    if rows[-1]["from"] < 1:
        return rows
    one = rows.pop()
    last = rows.pop() if rows and rows[-1]["to"] == 1 else {**one, "from": 1 - width, "count": 0}
    count = one["count"] + last["count"]
    merged = {
        name: (one["count"] * one[name] + last["count"] * last[name]) / count
        for name in ("confidence", "accuracy")
    }
    low, high = wilson(merged["accuracy"] * count, count)
    return [*rows, {**last, **merged, "count": count, "accuracy_low": low, "accuracy_high": high}]


def _draw_bars(axes: Axes, rows: Sequence[Mapping[str, Any]], width: float) -> None:
    """Draw the accuracy of each bin with its interval, and its gap to the confidence."""
    style.tidy(axes, grid="both")
    middles = [row["from"] + width / 2 for row in rows]
    accuracies = [row["accuracy"] for row in rows]
    below = [row["accuracy"] - row["accuracy_low"] for row in rows]
    above = [row["accuracy_high"] - row["accuracy"] for row in rows]
    axes.bar(middles, accuracies, 0.9 * width, color=style.BLUE, label="accuracy")
    for name, sign, color in (("too confident", 1, style.ORANGE), ("not confident enough", -1, style.GREEN)):
        gaps = [max(sign * (row["confidence"] - row["accuracy"]), 0) for row in rows]
        bottoms = [min(row["confidence"], row["accuracy"]) for row in rows]
        if any(gaps):
            axes.bar(middles, gaps, 0.9 * width, bottoms, color=color, label=name)
    axes.errorbar(middles, accuracies, yerr=[below, above], fmt="none", ecolor=style.INK, elinewidth=1)
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    axes.tick_params(labelbottom=False)
    _as_percent(axes)
    style.legend(axes)


def _draw_shares(
    axes: Axes, rows: Sequence[Mapping[str, Any]], width: float, scores: Mapping[str, float]
) -> None:
    """Draw the share of the images in each bin, with the mean confidence and the accuracy."""
    style.tidy(axes, frame=True)
    total = sum(row["count"] for row in rows)
    middles = [row["from"] + width / 2 for row in rows]
    axes.bar(middles, [row["count"] / total for row in rows], 0.9 * width, color=style.MUTED, alpha=0.6)
    for name, color in (("accuracy", style.BLUE), ("confidence", style.ORANGE)):
        axes.axvline(scores[name], color=color, linewidth=1.5)
    axes.set(xlim=(0, 1), xlabel="confidence (lines: mean of confidence and accuracy)", ylabel="images")
    _as_percent(axes)


def _draw_risk(axes: Axes, risks: NDArray[Any], scores: Mapping[str, float]) -> None:
    """Draw the error rate of the most confident share of the images."""
    style.tidy(axes, grid="both", frame=True)
    count = len(risks)
    step = max(count // _POINTS, 1)
    places = [*range(0, count - 1, step), count - 1]
    axes.plot([(place + 1) / count for place in places], risks[places], color=style.BLUE)
    axes.axhline(risks[-1], color=style.MUTED, linewidth=1, linestyle="--")
    axes.set(xlim=(0, 1), xlabel="coverage: share of images kept, most confident first")
    axes.set_ylim(0, max(1.15 * risks.max(), 0.01))
    axes.set_ylabel(f"error rate (area under the curve {100 * scores['aurc']:.1f}%)")
    _as_percent(axes)


def _as_percent(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
