"""Metrics are shown in the units of their task, whatever they are called."""

from __future__ import annotations

from dataclasses import replace

import torch

from zoo.config.train_config import TrainConfig
from zoo.console.figures import figures, over_seeds, primary_metrics
from zoo.interfaces import Batch
from zoo.runs.learning_curve import draw_learning_curve
from zoo.training.clock import Clock
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION

RANKING = replace(
    CLASSIFICATION,
    name="ranking",
    primary_metric="recall",
    units={"recall": "%", "loss": "points", "delay": "ms"},
)
METRICS = {"delay": 12.5, "gain": 0.25, "loss": 0.5, "recall": 0.9376}


def test_figures_have_the_units_and_the_order_of_their_task() -> None:
    shown = "recall 93.76%, loss 0.5000 points, delay 12.5000 ms, gain 0.25"
    assert figures(METRICS, RANKING.units) == shown
    assert figures({"accuracy": 0.9}, {}) == "accuracy 0.9"


def test_several_seeds_have_a_mean_and_a_sample_deviation() -> None:
    by_seed = {"0": 0.77, "1": 0.78, "2": 0.76}
    assert over_seeds(by_seed, RANKING) == "77.00 ± 1.00% recall over 3 seeds"
    loss = replace(RANKING, primary_metric="loss")
    assert over_seeds(by_seed, loss) == "loss 0.7700 ± 0.0100 points over 3 seeds"
    assert over_seeds({"0": 0.77}, RANKING) == over_seeds({}, RANKING) == ""
    assert "inf" in over_seeds({"0": 1e308, "1": -1e308, "2": 1e308}, RANKING), "a card may say anything"


def test_progress_shows_shares_in_percent() -> None:
    assert primary_metrics({"val": METRICS}, RANKING) == ["val recall 93.76%"]


def test_a_training_reports_the_units_of_its_task() -> None:
    batch = Batch(torch.zeros(1, 3, 4, 4), torch.zeros(1, dtype=torch.int64), 0, 1, 0)
    progress = Clock(1, TrainConfig(), RANKING).tick(batch, 1.0, 0.1)
    assert (progress.shown, progress.units) == (("recall",), RANKING.units)


def test_a_curve_is_labeled_with_the_units_of_the_task() -> None:
    history = [{"epoch": n, "steps": n, "train": METRICS, "val": METRICS} for n in (1, 2)]
    figure = draw_learning_curve(history, Classification(RANKING), title="run")
    recall, loss, _ = figure.axes
    assert (recall.get_ylabel(), loss.get_ylabel()) == ("recall", "loss (points)")
    assert recall.yaxis.get_major_formatter()(0.5, 0) == "50%"
    assert "val recall 93.8%" in figure.texts[-1].get_text()
