"""Names that mean something elsewhere: to TeX, to a file system."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from zoo.analysis.findings import _stems
from zoo.analysis.render import grid
from zoo.files import style
from zoo.tools.lr_find.lr_finder import Curve, suggest
from zoo_analyzers.plots import activation_plot, matrix_plot, pairs_plot

NAMES = ["$", "$x$", r"\frac{1}{2}", "a_b^c", "{", r"$\nope$", "two\nlines", "\x1b[1m", "é", "100%"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_as_it_is_written(name: str) -> None:
    from matplotlib.text import Text

    images = [(f"{style.shortened(name, 200, 9)}\n1 of 2", [torch.zeros(3, 4, 4)])]
    for figure in (
        matrix_plot([[1, 2], [0, 1]], [name, "other"], title=name),
        pairs_plot(images, title=name),
        pairs_plot([], title=name),
    ):
        style.png(figure)
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
        assert not any(text.get_parse_math() or text.get_usetex() for text in texts)
    grid([Image.new("RGB", (224, 224))], [(name, name)])


def test_powers_of_ten_along_a_logarithmic_axis_are_not_shown_as_tex() -> None:
    rates = [10.0**power for power in range(-6, 2)]
    losses = (3.0, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 4.0)
    curve = Curve(
        suggestions=suggest([*zip(rates, losses, strict=True)]),
        points=tuple(zip(rates, losses, strict=True)),
        losses=losses,
        diverged=True,
    )
    row = {"layer": "$x_1$", "mean": -3.0, "std": 5_000.0, "dead": 0.5}
    figures = [curve.plot(), activation_plot([row], title="large activations")]
    drawn = [text for figure in figures for text in _drawn(figure)]
    assert not [text for text in drawn if "mathdefault" in text]
    assert "$x_1$" in drawn


def _drawn(figure: Figure) -> list[str]:
    """Return the texts of a figure that are drawn as they are written."""
    from matplotlib.text import Text

    style.png(figure)
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text.get_text() for text in texts if text.get_visible() and not text.get_parse_math()]


def test_a_dollar_looks_like_a_dollar() -> None:
    plain = np.asarray(Image.open(BytesIO(style.png(style.figure(5, 1, title="$x$")))))
    tex = np.asarray(Image.open(BytesIO(style.png(style.figure(5, 1, title="x")))))
    assert (plain != tex).any()


def test_names_of_images_give_names_of_files_that_are_short_and_unique() -> None:
    long = "é" * 120
    stems = _stems(
        [f"{long}.png", f"{long}x.jpg", f"{long}.gif", "a\nb\x1b.png", "b\udcff.png", "map.png"], {"map"}
    )
    assert len({*stems}) == len(stems)
    assert max(len(f"{stem}.123456.png".encode()) for stem in stems) <= 255
    assert all(stem.isprintable() for stem in stems)
    assert stems[3:] == ["a_b_", "b_", "map-2"]
