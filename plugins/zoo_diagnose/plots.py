"""Plots; matplotlib is imported when one is drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from torch import Tensor


def activation_plot(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a PNG of the mean, the standard deviation and the share of dead units of each layer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6, 0.28 * len(rows) + 2), 6), layout="constrained")
    means, deads = figure.subplots(2, 1, sharex=True)
    places = range(len(rows))
    middles, spreads = [row["mean"] for row in rows], [row["std"] for row in rows]
    means.errorbar(places, middles, spreads, fmt="o", ms=4, capsize=2)
    means.axhline(0, color="grey", lw=0.5)
    means.set_ylabel("mean ± std")
    if max(abs(middle) + spread for middle, spread in zip(middles, spreads, strict=True)) > 20:
        means.set_yscale("symlog", linthresh=1)
    deads.bar(places, [100 * row["dead"] or 0 for row in rows], color="tab:red")
    deads.set_ylabel("dead units, %")
    deads.set_ylim(0, 100)
    if not any(row["dead"] for row in rows):
        deads.text(0.5, 0.5, "none", ha="center", transform=deads.transAxes)
    deads.set_xticks(places, [row["layer"] for row in rows], rotation=90, fontsize=7)
    return _png(figure)


def matrix_plot(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> bytes:
    """Return a PNG of a confusion matrix (true class, predicted class), colored by share of the row."""
    import numpy as np
    from matplotlib.figure import Figure

    counts = np.array(matrix)
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    side = min(max(4, 0.5 * len(names) + 2), 14)
    shown = range(0, len(names), -(-len(names) // 60))  # at most 60 names are legible
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(shown, [names[k] for k in shown], rotation=90)
    axes.set_yticks(shown, [names[k] for k in shown])
    if len(names) <= 60:
        axes.set_xticks([place - 0.5 for place in range(1, len(names))], minor=True)
        axes.set_yticks([place - 0.5 for place in range(1, len(names))], minor=True)
        axes.grid(which="minor", color="white")
        axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= 20:
        for row, column in np.argwhere(counts > 0):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8
            )
    return _png(figure)


def pairs_plot(pairs: Sequence[tuple[str, Sequence[Tensor]]]) -> bytes:
    """Return a PNG with a row for each confused pair: its title, and pictures (C, H, W) from 0 to 1."""
    from matplotlib.figure import Figure

    columns = max((len(pictures) for _, pictures in pairs), default=1)
    figure = Figure(figsize=(1.2 * columns + 2.5, 1.25 * max(len(pairs), 1)), layout="constrained")
    grid = figure.subplots(max(len(pairs), 1), columns, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for row, (title, pictures) in zip(grid, pairs, strict=False):
        row[0].text(-0.15, 0.5, title, ha="right", va="center", fontsize=8, transform=row[0].transAxes)
        for axis, picture in zip(row, pictures, strict=False):
            axis.imshow(picture.expand(3, -1, -1).permute(1, 2, 0).numpy())
    return _png(figure)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
