"""The legend of figures with curves. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.plugin import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def legend(axes: Axes, *, right: bool = False) -> None:
    """Draw the legend of axes in a row above them, on the left or on the right."""
    axes.legend(
        loc="lower right" if right else "lower left",
        bbox_to_anchor=(1, 1) if right else (0, 1),
        ncols=9,
        frameon=False,
        labelcolor=style.INK,
        fontsize=style.SMALL,
        handlelength=1.3,
        columnspacing=1.4,
        borderpad=0.2,
        borderaxespad=0.2,
    )
