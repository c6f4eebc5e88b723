"""The figure of images that only one of two models classifies correctly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from zoo.files import style
from zoo.tools.compare.measurements import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Images of each kind, in a row
_MOST, _ROW = 16, 8
# Inches: the side of an image, and the height of its caption
_SIDE, _CAPTION = 1.1, 0.42


def draw_disagreements(measurements: Sequence[Measurement], pairs: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure with up to 16 images that only `a`, and 16 that only `b` of each pair gets right.

    Below each image are its label and the class that the other model predicts.
    """
    by_name = {each.name: each for each in measurements}
    blocks = [
        (f"only {pair[right]} is right ({len(pair[side]):,})", pair[side][:_MOST], by_name[pair[wrong]])
        for pair in pairs
        for side, right, wrong in (("only_a", "a", "b"), ("only_b", "b", "a"))
        if pair[side]
    ]
    heights = [math.ceil(len(items) / _ROW) for _, items, _ in blocks]
    first = measurements[0]
    figure = style.figure(
        _ROW * _SIDE,
        sum(heights) * (_SIDE + _CAPTION) + 0.35 * len(blocks),
        title="Images that only one model gets right",
        subtitle=f"{first.dataset}, {first.split}: label, and the class that the other model predicts",
    )
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, height, (title, items, wrong) in zip(parts, heights, blocks, strict=True):
        _draw_block(part, height, title, items, wrong)
    return figure


def _draw_block(part: Any, height: int, title: str, items: Sequence[int], wrong: Measurement) -> None:
    split, classes = wrong.inputs, wrong.data.preprocess["classes"]
    pairs = wrong.labels_and_predictions()
    assert pairs is not None
    labels, predictions = pairs
    part.suptitle(
        style.shortened(title, 72 * _ROW * _SIDE, style.SMALL), x=0.01, ha="left", fontsize=style.SMALL
    )
    for number, axes in enumerate(part.subplots(height, _ROW, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(items):
            item = items[number]
            image = torch.as_tensor(split[item][0])  # uint8 (C, H, W)
            axes.imshow(image.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
            names = [classes[int(each[item])] for each in (labels, predictions)]
            width = 72 * _SIDE * 0.95
            lines = (style.shortened(line, width, style.SMALL) for line in (names[0], f"as {names[1]}"))
            axes.set_title("\n".join(lines), y=-0.08, va="top", fontsize=style.SMALL, color=style.INK)
