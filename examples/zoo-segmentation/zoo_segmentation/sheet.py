"""The figure of images beside their masks, with a legend of class colors."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zoo.plugin import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Row", "draw_sheet"]

# Told apart with any kind of color vision (Okabe & Ito 2008); the first class is often the background
_COLORS = ("#d7dce1", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442")
# How much of a mask's color covers its image
_OPACITY = 0.75
# Inches: the side of an image, and the height of its caption
_SIDE, _CAPTION = 1.15, 0.24


class Row(NamedTuple):
    """An image to draw, in color (H, W, 3) from 0 to 1, and its masks (H, W); -1 is unknown."""

    name: str
    image: Tensor
    true: Tensor | None
    predicted: Tensor


def draw_sheet(rows: Sequence[Row], classes: Sequence[str], *, title: str) -> Figure:
    """Return a figure of images, each beside its true mask, if known, and its predicted mask.

    Args:
        classes: the name of each class, for the legend.
    """
    from matplotlib.patches import Patch

    columns = min(3, len(rows))
    down = math.ceil(len(rows) / columns)
    tiles = 3 if any(row.true is not None for row in rows) else 2
    what = "image, true mask, predicted mask" if tiles == 3 else "image, predicted mask"
    lines = math.ceil(len(classes) / 6)
    width, height = columns * (tiles * _SIDE + 0.2), down * (_SIDE + _CAPTION) + 0.3 * lines
    figure = style.figure(max(width, 5), height, title=title, subtitle=what)
    grid = figure.subplots(down, columns * tiles, squeeze=False)
    colors = torch.tensor([_rgb(k) for k in range(len(classes))])
    for axes in grid.flat:
        axes.set_axis_off()
    for number, row in enumerate(rows):
        place = grid[number // columns, number % columns * tiles :][:tiles]
        shown = [row.image, row.predicted] if tiles == 2 else [row.image, row.true, row.predicted]
        for axes, tile in zip(place, shown, strict=True):
            _show(axes, tile, row.image, colors)
        place[0].set_title(
            style.shortened(row.name, 72 * tiles * _SIDE, style.SMALL), loc="left", fontsize=style.SMALL
        )
    patches = [Patch(color=_rgb(k), label=name) for k, name in enumerate(classes)]
    figure.legend(handles=patches, loc="outside lower left", ncols=6, frameon=False, fontsize=style.SMALL)
    return figure


def _show(axes: Axes, tile: Tensor | None, image: Tensor, colors: Tensor) -> None:
    """Draw an image, or a mask over it in gray; unknown pixels stay uncolored."""
    if tile is None:
        return
    if tile.ndim == 2:
        gray = image.mean(2, keepdim=True).expand(-1, -1, 3)
        mask = gray.lerp(colors[tile.clamp(min=0)], _OPACITY)
        tile = torch.where((tile >= 0)[..., None], mask, gray)
    axes.imshow(tile.numpy(), interpolation="nearest")


def _rgb(number: int) -> tuple[float, float, float]:
    """Return the color of a class, from 0 to 1."""
    if number < len(_COLORS):
        red, green, blue = (int(_COLORS[number][at : at + 2], 16) / 255 for at in (1, 3, 5))
        return red, green, blue
    return colorsys.hsv_to_rgb(number * 0.618 % 1, 0.6, 0.8)  # golden ratio: neighbors differ
