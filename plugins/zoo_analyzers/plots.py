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


def _place(
    axes: Axes, image: Tensor, left: float, top: float, side: float = _IMAGE, *, smooth: bool = True
) -> None:
    """Draw an image (C, H, W) with values from 0 to 1 at a position in inches."""
    import numpy as np
    from PIL import Image

    colors = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    pixels = (255 * colors.permute(1, 2, 0)).round().byte().numpy()
    dots, how = round(style.DPI * side), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    shown = Image.fromarray(np.ascontiguousarray(pixels)).resize((dots, dots), how)
    axes.imshow(shown, extent=(left, left + side, top + side, top))


def units_plot(
    words: Sequence[str], values: Sequence[Sequence[float]], rows: Sequence[Mapping[str, Any]], *, title: str
) -> Figure:
    """Return a figure with a row for each hidden unit: its value after each token of a text.

    Args:
        words: the tokens, which are written below the rows.
        values: the values of each unit, one per token.
        rows: the row of the table for each unit.
    """
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    cells = np.array(values)
    cells = cells / np.abs(cells).max(1, keepdims=True).clip(1e-9)
    subtitle = (
        "value of each unit after each token, relative to its largest; blue is negative, orange positive"
    )
    figure = style.figure(0.115 * len(words) + 1.2, 0.24 * len(rows) + 0.3, title=title, subtitle=subtitle)
    axes = figure.subplots()
    style.tidy(axes)
    axes.grid(visible=False)
    colors = LinearSegmentedColormap.from_list("signed", [style.BLUE, style.PAPER, style.ORANGE])
    axes.imshow(cells, cmap=colors, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(rows)), [f"unit {row['unit']}" for row in rows], color=style.INK)
    signs = ["↵" if word == "\n" else "␣" if word == " " else word for word in words]
    axes.set_xticks(range(len(words)), signs, color=style.INK, fontfamily="monospace")
    return figure


def gradient_plot(norms: Sequence[float], factor: float, *, title: str) -> Figure:
    """Return a figure of the norm of the gradient, on a logarithmic axis, by the number of tokens back."""
    from matplotlib.ticker import MaxNLocator

    subtitle = (
        f"gradient of the loss with respect to earlier hidden states; ×{factor:.3g} with each step back"
    )
    figure = style.figure(6.5, 3, title=title, subtitle=subtitle)
    axes = figure.subplots()
    style.tidy(axes, frame=True)
    points = [(back, norm) for back, norm in enumerate(norms, 1) if norm > 0]
    axes.plot(*zip(*points, strict=True), color=style.BLUE, lw=1.8)
    axes.set(xlabel="tokens back", ylabel="norm of the gradient", yscale="log", xlim=(len(norms), 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def filters_plot(weights: Tensor, patches: Sequence[Sequence[Tensor]], *, title: str) -> Figure:
    """Return a figure with each filter of the first layer, beside the patches with the highest response.

    Args:
        weights: (F, C, h, w)
        patches: for each filter, images (C, h, w) from 0 to 1.
    """
    side, gap = 0.55, 0.05
    pitch, columns = side + gap, 1 + len(patches[0])
    half = (len(weights) + 1) // 2
    block = columns * pitch + 4 * gap  # inches of a filter with its patches
    subtitle = "each filter of the first layer (gray is zero), and the patches to which it responds most"
    width = max(block + (block if half < len(weights) else 0) + 0.3, 6.5)
    figure = style.figure(width, half * pitch + 0.1, title=title, subtitle=subtitle)
    axes = figure.subplots()
    for number, own in enumerate(patches):
        left, top = number // half * block, number % half * pitch
        weight = weights[number] / weights[number].abs().max().clamp(min=1e-12)
        _place(axes, weight / 2 + 0.5, left, top, side, smooth=False)
        for place, patch in enumerate(own, 1):
            _place(axes, patch, left + place * pitch + gap, top, side, smooth=False)
    _bare(axes, 2 * block if half < len(weights) else block, half * pitch)
    return figure


def _bare(axes: Axes, width: float, height: float) -> None:
    """Show only the images on axes of this size in inches."""
    style.tidy(axes)
    axes.grid(visible=False)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], anchor="NW")


def feature_maps_plot(
    image: Tensor, layers: Sequence[tuple[str, Tensor, list[int]]], *, title: str
) -> Figure:
    """Return a figure with an image (C, H, W) from 0 to 1, and a row of feature maps for each layer.

    Args:
        layers: the name of each layer, its feature maps (channels, h, w), and the numbers of the channels.
    """
    import torch
    from matplotlib import colormaps

    row, pitch = _IMAGE + 2 * _LINE, _IMAGE + _GAP
    columns = max(len(channels) for *_, channels in layers)
    subtitle = "the channels with the highest values; each map is scaled to its own range"
    width = pitch * (1 + columns) + 3 * _GAP
    figure = style.figure(max(width + 0.3, 6.5), len(layers) * row, title=title, subtitle=subtitle)
    axes = figure.subplots()
    _captioned(axes, image, 0, 0, ["input"], style.INK)
    for number, (name, maps, channels) in enumerate(layers):
        top = number * row
        for column, (map_, channel) in enumerate(zip(maps, channels, strict=True), 1):
            left = column * pitch + 3 * _GAP
            scaled = (map_ - map_.min()) / (map_.max() - map_.min()).clamp(min=1e-12)
            colors = torch.from_numpy(colormaps[style.HEAT](scaled.numpy())[..., :3]).permute(2, 0, 1)
            _place(axes, colors, left, top, smooth=False)
            label = f"{name} · {channel}" if column == 1 else f"{channel}"
            axes.text(left, top + _IMAGE + 0.03, label, va="top", color=style.MUTED, fontsize=style.SMALL)
    _bare(axes, width, len(layers) * row)
    return figure


def statistics_plot(
    rows: Sequence[Mapping[str, Any]], layer: tuple[Tensor, Tensor], name: str, *, title: str
) -> Figure:
    """Return a figure with the noise of each BatchNorm layer, and the batches of one layer by channel.

    Args:
        layer: the mean and standard deviation of each batch in one layer, (batches, C), in running standard
            deviations.
        name: the name of this layer.
    """
    height = max(2.6, 0.2 * len(rows) + 0.7)
    subtitle = f"batches beside running statistics; on the right each batch in {name}, in running deviations"
    figure = style.figure(9, height, title=title, subtitle=subtitle)
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    places = range(len(rows))
    style.tidy(left, grid="x")
    left.barh(places, [row["noise"] for row in rows], color=style.BLUE)
    left.set_xlabel("noise of a batch's mean")
    left.set_yticks(places, [row["layer"] for row in rows], color=style.INK)
    left.set_ylim(len(rows) - 0.4, -0.6)
    style.tidy(right, frame=True)
    means, stds = layer
    for batch, (mean, std) in enumerate(zip(means, stds, strict=True)):
        channels = range(len(mean))
        right.scatter(channels, mean, s=5, color=style.BLUE, alpha=0.5, label=None if batch else "mean")
        right.scatter(channels, std, s=5, color=style.ORANGE, alpha=0.5, label=None if batch else "deviation")
    for level in (0, 1):
        right.axhline(level, color=style.MUTED, lw=0.8)
    right.set_xlabel("channel")
    style.legend(right)
    return figure


def residual_plot(rows: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Return a figure with two bars for each residual layer: the size of x, and that of f(x)."""
    subtitle = "root mean square of the input x of each residual layer, and of the f(x) that it adds"
    figure = style.figure(6.5, max(2.2, 0.34 * len(rows) + 0.7), title=title, subtitle=subtitle)
    axes = figure.subplots()
    style.tidy(axes, grid="x")
    for shift, key, label, color in ((-0.2, "x", "x", style.BLUE), (0.2, "f", "f(x)", style.ORANGE)):
        places = [place + shift for place in range(len(rows))]
        axes.barh(places, [row[key] for row in rows], height=0.38, color=color, label=label)
    axes.set_yticks(range(len(rows)), [row["layer"] for row in rows], color=style.INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    style.legend(axes)
    return figure
