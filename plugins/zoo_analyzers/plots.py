"""The figures of the analyzers; matplotlib is imported when a figure is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zoo.plugin import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Inches: the widest matrix whose columns are as wide as their labels, and the least height of a row with one
_MATRIX_WIDTH = 10.0
_ROW = 0.13
# The ground of what is empty
_EMPTY = "#f4f6f8"
# Inches of an image, between two, and of a line of its caption
_IMAGE, _GAP, _LINE = 0.9, 0.08, 0.15


def activation_plot(rows: Sequence[dict[str, Any]], *, title: str) -> Figure:
    """Return a figure with a row for each layer: its mean and standard deviation, and its dead units."""
    from matplotlib.ticker import PercentFormatter

    height = max(2.2, 0.2 * len(rows) + 0.7)
    figure = style.figure(
        6.5, height, title=title, subtitle="output of each layer, from the first to the last"
    )
    means, deads = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    places = range(len(rows))
    middles, spreads = [row["mean"] for row in rows], [row["std"] for row in rows]
    style.tidy(means, grid="x")
    means.errorbar(middles, places, xerr=spreads, fmt="o", color=style.BLUE, ms=4, capsize=2, lw=1.3)
    means.axvline(0, color=style.MUTED, lw=0.8)
    means.set_xlabel("mean ± standard deviation")
    if max(abs(middle) + spread for middle, spread in zip(middles, spreads, strict=True)) > 20:
        means.set_xscale("symlog", linthresh=1)
    style.tidy(deads, grid="x")
    deads.barh(places, [row["dead"] or 0 for row in rows], color=style.ORANGE)
    deads.set(xlabel="dead units", xlim=(0, 1))
    deads.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if not any(row["dead"] for row in rows):
        deads.text(0.5, 0.5, "none", ha="center", color=style.MUTED, transform=deads.transAxes)
    means.set_yticks(places, [row["layer"] for row in rows], color=style.INK)
    means.set_ylim(len(rows) - 0.4, -0.6)
    return figure


def matrix_plot(matrix: Sequence[Sequence[int]], names: Sequence[str], *, title: str) -> Figure:
    """Return a figure of a confusion matrix (true class, predicted class).

    Correct predictions are blue, by their share of the row. Wrong predictions are orange, by their share
    relative to the largest such share, so that even rare mistakes are visible.
    """
    import numpy as np

    counts = np.array(matrix)
    right, total, classes = counts.trace(), counts.sum(), len(names)
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    wrong = np.where(np.eye(classes, dtype=bool), 0, shares)
    worst = f"; the darkest orange marks {wrong.max():.1%} of a class" if wrong.any() else ""
    subtitle = f"{right:,} of {total:,} correct ({right / total:.1%}){worst}"
    row = min(max(0.4, 2 / classes), max(9 / classes, _ROW), 14 / classes)  # height in inches
    step = round(max(_ROW / row, 1))
    size = min(style.SMALL, 72 * row * step * 0.8)
    shown = [style.shortened(name, 100, size) for name in names]
    widest = max(_text_width(name, size) for name in shown) / 72
    level = (widest + 0.1) * classes <= _MATRIX_WIDTH
    column = max(1.5 * row, widest + 0.1) if level else row
    width, height = column * classes + widest + 0.5, row * classes + (0.9 if level else widest + 0.8)
    figure = style.figure(max(width, 6.5), height, title=title, subtitle=subtitle)
    axes = figure.subplots()
    style.tidy(axes)
    axes.grid(visible=False)
    colors = _colors(shares, wrong)
    axes.imshow(colors, aspect=row / column, interpolation="nearest")
    axes.set_anchor("SW")
    ticks = range(0, classes, step)
    labels = [shown[k] for k in ticks]
    axes.set_xticks(ticks, labels, color=style.INK, fontsize=size, rotation=0 if level else 90)
    axes.set_yticks(ticks, labels, color=style.INK, fontsize=size)
    axes.set_xlabel("predicted")
    axes.annotate(
        "true",
        (0, 1),
        (-4, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        color=style.MUTED,
        fontsize=style.TEXT,
    )
    if row >= 0.25 and _text_width(f"{counts.max():,}", style.SMALL) < 72 * column:
        _write_counts(axes, counts, colors)
    return figure


def _text_width(text: str, size: float) -> float:
    """Return the width of a line of text, in the same unit as `size`."""
    return style.font(size).getlength(text)


def _message(text: str, *, title: str, subtitle: str) -> Figure:
    """Return a figure with text that explains why no plot is drawn."""
    figure = style.figure(7, 0.34, title=title, subtitle=subtitle)
    left, bottom = 0.02, 0.14 / figure.get_figheight()
    figure.text(left, bottom, text, va="bottom", color=style.INK, fontsize=style.TEXT + 1.5)
    return figure


def _colors(shares: NDArray[Any], wrong: NDArray[Any]) -> NDArray[Any]:
    """Return the color (classes, classes, 4) of each cell of a confusion matrix."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    right = colormaps["Blues"](0.15 + 0.65 * shares)
    mistaken = colormaps["Oranges"](0.06 + 0.66 * wrong / max(wrong.max(), 1e-9))
    mistaken[wrong == 0] = to_rgba(_EMPTY)
    return np.where(np.eye(len(shares), dtype=bool)[..., None], right, mistaken)


def _write_counts(axes: Axes, counts: NDArray[Any], colors: NDArray[Any]) -> None:
    """Write the count into each cell that is not empty, and draw white lines between the cells."""
    import numpy as np

    borders = [place - 0.5 for place in range(1, len(counts))]
    axes.set_xticks(borders, minor=True)
    axes.set_yticks(borders, minor=True)
    axes.grid(which="minor", color=style.PAPER, linewidth=1.5)
    for row, column in np.argwhere(counts > 0):
        dark = colors[row, column, :3] @ (0.3, 0.6, 0.1) < 0.6
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            color=style.PAPER if dark else style.INK,
            fontsize=style.SMALL,
        )


def pairs_plot(pairs: Sequence[tuple[str, Sequence[Tensor]]], *, title: str) -> Figure:
    """Return a figure with a row for each confused pair: its label, and images (C, H, W) from 0 to 1."""
    if not pairs:
        none = "No images are confused: all predictions are correct."
        return _message(none, title=title, subtitle="most confused classes")
    pitch, columns = _IMAGE + _GAP, max(len(images) for _, images in pairs)
    lines = [line for label, _ in pairs for line in label.splitlines()]
    label_width = max(_text_width(line, style.TEXT) for line in lines) / 72
    width = max(5.0, columns * pitch + label_width + 0.5)
    figure = style.figure(width, len(pairs) * pitch + 0.1, title=title, subtitle="most confused classes")
    axes = figure.subplots()
    for row, (_, images) in enumerate(pairs):
        for column, image in enumerate(images):
            _place(axes, image, column * pitch, row * pitch)
    style.tidy(axes)
    axes.grid(visible=False)
    axes.set(xlim=(0, columns * pitch), ylim=(len(pairs) * pitch, 0), xticks=[], anchor="W")
    middles = [row * pitch + _IMAGE / 2 for row in range(len(pairs))]
    axes.set_yticks(middles, [label for label, _ in pairs], color=style.INK, fontsize=style.TEXT)
    return figure


def neighbors_plot(
    rows: Sequence[tuple[Tensor, Mapping[str, Any], Sequence[Tensor]]], *, title: str
) -> Figure:
    """Return a figure with a row for each input: its image, and its nearest images with their similarity.

    Args:
        rows: the image of an input, (C, H, W) from 0 to 1, its row of the table, and its nearest images.
    """
    pitch, high, apart = _IMAGE + _GAP, _IMAGE + 3 * _LINE + 2 * _GAP, 3 * _GAP
    columns = max(len(images) for *_, images in rows)
    width = (1 + columns) * pitch + apart
    subtitle = "each input, and the training images nearest to it by the cosine similarity of features"
    figure = style.figure(max(width + 0.3, 6.5), len(rows) * high, title=title, subtitle=subtitle)
    axes = figure.subplots()
    for number, (image, row, images) in enumerate(rows):
        top = number * high
        _captioned(axes, image, 0, top, [row["true"] or "", Path(row["input"]).name], style.INK)
        for column, (near, other) in enumerate(zip(row["neighbors"], images, strict=True), 1):
            other_kind = None not in (row["true"], near["true"]) and near["true"] != row["true"]
            lines = [near["true"] or "", Path(near["name"]).name, f"{near['similarity']:.3f}"]
            color = style.ORANGE if other_kind else style.INK
            _captioned(axes, other, column * pitch + apart, top, lines, color)
    style.tidy(axes)
    axes.grid(visible=False)
    axes.set(xlim=(0, width), ylim=(len(rows) * high, 0), xticks=[], yticks=[], anchor="NW")
    return figure


def _captioned(axes: Axes, image: Tensor, left: float, top: float, lines: Sequence[str], color: str) -> None:
    """Draw an image with lines of text below it, the first line in the given color."""
    _place(axes, image, left, top)
    shown = [line for line in lines if line]
    for number, line in enumerate(shown):
        axes.text(
            left,
            top + _IMAGE + 0.03 + number * _LINE,
            style.shortened(line, 72 * _IMAGE, style.SMALL),
            va="top",
            color=color if number == 0 else style.MUTED,
            fontsize=style.SMALL,
        )


def _place(axes: Axes, image: Tensor, left: float, top: float) -> None:
    """Draw an image (C, H, W) with values from 0 to 1 at a position in inches."""
    import numpy as np
    from PIL import Image

    colors = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    pixels = (255 * colors.permute(1, 2, 0)).round().byte().numpy()
    side = round(style.DPI * _IMAGE)
    shown = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.LANCZOS)
    axes.imshow(shown, extent=(left, left + _IMAGE, top + _IMAGE, top))
