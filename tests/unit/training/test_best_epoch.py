"""Which epoch was best, and when to stop."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.config.train_config import TrainConfig
from zoo.training.best_epoch import best_epoch, out_of_patience
from zoo.training.loop import fit
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

IMAGES = Classification(CLASSIFICATION)
TEXT = LanguageModeling(LANGUAGE_MODELING)


def accuracies(*values: float) -> list[dict[str, Any]]:
    return [{"epoch": n, "val": {"accuracy": value, "loss": 9.0}} for n, value in enumerate(values, 1)]


def losses(*values: float) -> list[dict[str, Any]]:
    return [{"epoch": n, "val": {"loss": value}} for n, value in enumerate(values, 1)]


def test_the_best_epoch_is_the_first_with_the_highest_accuracy_or_the_lowest_loss() -> None:
    assert best_epoch(accuracies(0.1, 0.4, 0.3, 0.4), IMAGES) == 2
    assert best_epoch(losses(2.0, 1.5, 1.7), TEXT) == 2
    tied = [{"epoch": n, "val": {"accuracy": 1.0, "loss": loss}} for n, loss in enumerate((0.3, 0.1, 0.2), 1)]
    assert best_epoch(tied, IMAGES) == 2, "of equal accuracies, the lower loss"
    assert best_epoch([{"test": {"accuracy": 1.0}}], IMAGES) is None
    assert best_epoch([], IMAGES) is None


@pytest.mark.parametrize(
    ("values", "patience", "expected"),
    [
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.4], 2, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.5, 0.5], 2, True),  # equal is no improvement
        ([0.5, 0.1, 0.1, 0.1], 0, False),
        ([], 1, False),
    ],
)
def test_patience_counts_epochs_since_the_best(values: list[float], patience: int, expected: bool) -> None:
    assert out_of_patience(accuracies(*values), IMAGES, patience) is expected


def test_a_run_out_of_patience_stops(text: Any, registry: Any) -> None:
    model = registry.architecture("gru").load()(vocab_size=8, hidden_size=4)
    config = TrainConfig(epochs=9, batch_size=4, lr=1e-9, patience=2, precision="fp32")
    state = fit(model, TEXT, text(), config.replace({"schedule": "constant"}))
    validation = [row["val"]["loss"] for row in state.history]
    assert len(validation) == validation.index(min(validation)) + 1 + 2 < 9
