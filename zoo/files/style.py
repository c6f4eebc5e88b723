"""The style of all figures: colors, fonts and axes. matplotlib is imported when a figure is drawn.

Every setting is made on the figure itself: matplotlib's global settings belong to the user and do not change.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zoo.errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from PIL.ImageFont import FreeTypeFont

PAPER = "#ffffff"
# Text, text that is read second, and lines that are hardly seen
INK, MUTED, FAINT = "#1f2328", "#656d76", "#dfe3e8"
# Told apart with any kind of color vision (Okabe & Ito 2008, "Color universal design")
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
# The colormap of heat maps, from low to high
HEAT = "inferno"

# Sizes of type in points
TITLE, TEXT, SMALL = 13.0, 9.5, 8.5
# Pixels per inch; a point is 1/72 inch
DPI = 120
# Inches around everything, and of a line of the head
_MARGIN = 0.14
_TITLE_LINE, _TEXT_LINE = 0.3, 0.2
# Matplotlib draws in one thread at a time
_DRAWING = threading.Lock()


def figure(width: float, height: float, *, title: str, subtitle: str = "") -> Figure:
    """Return an empty figure with a bold title, and a subtitle of any number of lines.

    Text that does not fit the width ends in an ellipsis.

    Args:
        width: inches.
        height: inches, without title and subtitle.
    """
    from matplotlib.figure import Figure

    head = _TITLE_LINE + _TEXT_LINE * len(subtitle.splitlines()) + _MARGIN
    whole = height + head
    made = Figure(figsize=(width, whole), dpi=DPI, facecolor=PAPER, layout="constrained")
    engine = made.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, height / whole), w_pad=_MARGIN, h_pad=_MARGIN / 2)  # pyright: ignore[reportCallIssue]

    def write(text: str, top: float, size: float, color: str, *, bold: bool = False) -> None:
        text = shortened(text, 72 * (width - 2 * _MARGIN), size, bold=bold)
        weight = "bold" if bold else "normal"
        place = _MARGIN / width, 1 - top / whole
        made.text(*place, text, va="top", color=color, fontsize=size, fontweight=weight, parse_math=False)

    write(title, _MARGIN, TITLE, INK, bold=True)
    for number, line in enumerate(subtitle.splitlines()):
        write(line, _MARGIN + _TITLE_LINE + number * _TEXT_LINE, TEXT, MUTED)
    return made


def tidy(axes: Axes, *, grid: Literal["x", "y", "both"] = "y", frame: bool = False) -> None:
    """Style axes: faint lines instead of a box, muted labels, no tick marks.

    Args:
        grid: the axis with grid lines at its ticks.
        frame: whether to draw the bottom line.
    """
    axes.set_facecolor(PAPER)
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set(visible=frame, color=FAINT)
    axes.tick_params(which="both", length=0, colors=MUTED, labelsize=SMALL)
    axes.grid(axis=grid, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=MUTED, fontsize=TEXT)


def legend(axes: Axes, *, right: bool = False) -> None:
    """Draw the legend of axes in a row above them, on the left or on the right."""
    axes.legend(
        loc="lower right" if right else "lower left",
        bbox_to_anchor=(1, 1) if right else (0, 1),
        ncols=9,
        frameon=False,
        labelcolor=INK,
        fontsize=SMALL,
        handlelength=1.3,
        columnspacing=1.4,
        borderpad=0.2,
        borderaxespad=0.2,
    )


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file; equal figures produce equal bytes.

    Text is never parsed as TeX, since a class may be called `$x_1$`, or `$`. The exception is the powers of
    ten along a logarithmic axis, which matplotlib writes in TeX.
    """
    from matplotlib.text import Text

    powers = _powers_of_ten(figure)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(text in powers)
        text.set_usetex(False)
    buffer = io.BytesIO()
    with _DRAWING:
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _powers_of_ten(figure: Figure) -> set[Text]:
    """Return the tick labels of logarithmic axes with matplotlib's own numbers."""
    from matplotlib.ticker import LogFormatterMathtext

    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    logarithmic = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatterMathtext)]
    return {label for axis in logarithmic for label in axis.get_ticklabels(which="both")}


def font(size: float, *, bold: bool = False) -> FreeTypeFont:
    """Return the font of figures for Pillow; if the size is in points, so are text lengths."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", name), size)


def shortened(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return text as one printable line, cut with an ellipsis if it is wider than `width`."""
    letters, text = font(size, bold=bold), printable(text[:1_000])  # names in files may be of any length
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
