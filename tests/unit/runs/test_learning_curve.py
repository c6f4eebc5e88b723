"""What the learning curve says."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zoo.files import style
from zoo.runs.learning_curve import draw_learning_curve
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

IMAGES = Classification(CLASSIFICATION)
TEXT = LanguageModeling(LANGUAGE_MODELING)


def rows(losses: list[float], *, splits: tuple[str, ...] = ("train", "val")) -> list[dict[str, Any]]:
    """Return an epoch of ten steps for each loss; a lower loss is a higher accuracy."""
    return [
        {"epoch": n, "steps": 10 * n}
        | {split: {"loss": loss, "accuracy": 1 / (1 + loss)} for split in splits}
        for n, loss in enumerate(losses, 1)
    ]


def curve(losses: list[float], *, task: Any = TEXT, **options: Any) -> Figure:
    history = rows(losses, splits=options.pop("splits", ("train", "val")))
    return draw_learning_curve(history, task, title="run-7", subtitle="net on data", **options)


def said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def xs(line: Line2D) -> list[float]:
    return np.asarray(line.get_xdata()).tolist()


def ys(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata()).tolist()


def test_a_curve_names_the_run_the_recipe_and_the_best_epoch() -> None:
    figure = curve([3.0, 1.5, 1.25, 2.0])
    assert said(figure).splitlines() == [
        "run-7",
        "net on data",
        "best of 4 epochs: epoch 3, val loss 1.25 nats",
    ]
    *panels, _ = figure.axes
    for axes in panels:
        assert [xs(line)[0] for line in axes.lines if line.get_linestyle() == ":"] == [3]


def test_a_classifier_s_best_epoch_is_that_of_the_highest_accuracy() -> None:
    figure = curve([3.0, 0.25, 1.0], task=IMAGES)
    assert said(figure).endswith("best of 3 epochs: epoch 2, val accuracy 80.0%")
    accuracy, loss, _ = figure.axes
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("accuracy", "loss (nats)")
    assert accuracy.yaxis.get_major_formatter()(0.5, 0) == "50%"


def test_without_validation_the_last_epoch_is_stated() -> None:
    assert said(curve([3.0, 2.0], splits=("train",))).endswith(
        "2 epochs without validation, train loss 2 nats"
    )


@pytest.mark.parametrize(("losses", "scale"), [([4.6, 1.5, 1.2], "linear"), ([1.1, 2.3e8, 1.3], "log")])
def test_a_loss_that_spikes_has_a_logarithmic_axis(losses: list[float], scale: str) -> None:
    assert curve(losses).axes[0].get_yscale() == scale
    accuracy, loss, _ = curve(losses, task=IMAGES).axes
    assert (accuracy.get_yscale(), loss.get_yscale()) == ("linear", scale)


def test_the_learning_rate_is_drawn_below_from_the_steps() -> None:
    steps = [{"step": step, "loss": 1.0, "lr": 0.5 / step} for step in (5, 10, 30)]
    *_, axes = curve([3.0, 2.0, 1.0], steps=steps).axes
    places, rates = xs(axes.lines[0]), ys(axes.lines[0])
    assert places == pytest.approx([0.5, 1, 3])
    assert rates == [0.1, 0.05, 0.5 / 30]


def test_a_single_epoch_is_drawn_by_its_steps() -> None:
    steps = [{"step": step, "loss": 4.0 - step / 10, "lr": 0.1} for step in range(1, 11)]
    loss, rate = curve([1.5], steps=steps).axes
    train, val = loss.lines
    assert ys(train) == [step["loss"] for step in steps]
    assert (xs(val), ys(val)) == ([10], [1.5])
    assert rate.get_xlabel() == "step"


def test_the_user_s_matplotlib_settings_stay_and_do_not_show() -> None:
    before = dict(mpl.rcParams)
    plain = style.png(curve([3.0, 2.0, 1.0]))
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"axes.facecolor": "black", "figure.facecolor": "black", "text.color": "white"}):
        assert style.png(curve([3.0, 2.0, 1.0])) == plain


def test_text_too_wide_for_its_place_ends_in_an_ellipsis() -> None:
    name = "a-run-with-a-name-that-nobody-would-want-to-type-twice" * 3
    title = style.figure(5, 2, title=name).texts[0].get_text()
    assert name.startswith(title.removesuffix("…"))
    font = style.font(13, bold=True)
    assert font.getlength(title) <= 72 * 5 < font.getlength(name)
    assert style.shortened("short", 100, 10) == "short"


@pytest.mark.parametrize("tiny", [1e-300, 5e-324])
def test_a_loss_next_to_nothing_is_drawn(tiny: float) -> None:
    curve([3.0, 1.5, tiny]).savefig(io.BytesIO(), format="png")
