"""The analyzer calibration against what can be counted by hand."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from zoo import OptionError
from zoo.evaluation.calibration_error import Reliability, reliability
from zoo.interfaces import Analysis, Batch, Subject
from zoo_analyzers.calibration import Calibration


def found(confidences: list[float], correct: list[bool], **options: Any) -> Reliability:
    """Return the reliability of predictions of the first of two classes."""
    chance = torch.tensor(confidences, dtype=torch.float64)
    logits = torch.stack([chance, 1 - chance], 1).log().float()
    return reliability(logits, torch.tensor([0 if right else 1 for right in correct]), **options)


def test_the_ece_is_the_mean_gap_weighted_by_the_number_of_predictions() -> None:
    # of 4 at 0.9, 2 are correct: a gap of 0.4; of 2 at 0.7, all: 0.3; of 2 at 0.6, one: 0.1
    measured = found([0.9] * 4 + [0.7] * 2 + [0.6] * 2, [True, True, False, False, True, True, True, False])
    assert measured.ece == pytest.approx((4 * 0.4 + 2 * 0.3 + 2 * 0.1) / 8, abs=1e-6)


def test_gaps_in_one_bin_cancel_out() -> None:
    confidences, correct = [0.6, 0.9], [True, False]
    assert found(confidences, correct, bins=1).ece == pytest.approx(0.25, abs=1e-6)
    assert found(confidences, correct, bins=15).ece == pytest.approx((0.4 + 0.9) / 2, abs=1e-6)


def test_a_bin_holds_its_lower_edge_and_certainty_is_a_bin_of_its_own() -> None:
    measured = found([0.5, 0.9, 1.0], [True, True, False], bins=2)
    rows = [(row["from"], row["to"], row["count"], row["accuracy"]) for row in measured.bins()]
    assert rows == [(0.5, 1.0, 2, 1.0), (1.0, 1.0, 1, 0.0)]


def test_a_bin_has_wilsons_interval() -> None:
    (row,) = found([0.8] * 10, [True] * 8 + [False] * 2, bins=1).bins()
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_ece_equals_that_of_torchmetrics(scale: float) -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    random = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(2_000, 10, generator=random)
    labels = torch.randint(10, (2_000,), generator=random)
    theirs = classification.MulticlassCalibrationError(10, n_bins=15, norm="l1")(logits, labels)
    assert reliability(logits, labels).ece == pytest.approx(float(theirs), abs=1e-6)


def test_the_brier_score_sums_over_all_classes() -> None:
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]).log()
    measured = reliability(logits, torch.tensor([0, 2]))
    assert measured.brier == pytest.approx((0.09 + 0.04 + 0.01 + 0.25 + 0.09 + 0.64) / 2, abs=1e-6)
    assert measured.loss == pytest.approx(-(math.log(0.7) + math.log(0.2)) / 2, abs=1e-6)


def test_the_risk_is_the_error_rate_of_the_most_confident() -> None:
    measured = found([0.6, 0.9, 0.7, 0.8], [False, True, True, False])
    assert measured.risks() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])


def test_predictions_of_equal_confidence_count_alike_in_any_order() -> None:
    assert found([0.8, 0.8, 0.9], [True, False, True]).risks() == pytest.approx([0, 1 / 4, 1 / 3])
    assert found([0.8, 0.8, 0.9], [False, True, True]).risks() == pytest.approx([0, 1 / 4, 1 / 3])


def sample(count: int, overconfident: float, seed: int) -> Reliability:
    random = np.random.default_rng(seed)
    confidences = random.uniform(0.55, 0.95, count)
    correct = random.random(count) < confidences - overconfident
    return found(confidences.tolist(), correct.tolist())


def test_the_interval_of_the_ece_covers_the_true_error() -> None:
    """Of a calibrated model it is 0, where the observed error is larger than that in every sample."""
    for overconfident in (0.0, 0.2):
        bounds = [sample(500, overconfident, seed).ece_interval(resamples=200) for seed in range(40)]
        covered = [low <= overconfident <= high for low, high, _ in bounds]
        assert sum(covered) >= 36


def test_the_interval_includes_the_observed_error_and_narrows_with_more_images() -> None:
    few, many = sample(200, 0.2, 0), sample(5_000, 0.2, 0)
    low, high, _ = few.ece_interval(resamples=300)
    assert low < few.ece < high
    narrow_low, narrow_high, _ = many.ece_interval(resamples=300)
    assert narrow_high - narrow_low < (high - low) / 2


def test_a_calibrated_model_shows_about_the_error_of_noise_alone() -> None:
    shown, expected = [], []
    for seed in range(30):
        measured = sample(300, 0.0, seed)
        shown.append(measured.ece)
        expected.append(measured.ece_interval(resamples=200)[2])
    assert np.mean(expected) == pytest.approx(np.mean(shown), rel=0.15)


class Sure(nn.Module):
    """Returns the first pixels as logits."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, 0, :3]


def analyzed(logits: list[list[float]], labels: list[int], **options: Any) -> Analysis:
    images = torch.zeros(len(labels), 1, 4, 4)
    images[:, 0, 0, :3] = torch.tensor(logits)
    subject = Subject(task="classification", landmarks={}, preprocess={"classes": ["a", "b", "c"]})
    halves = [slice(0, 1), slice(1, None)]
    batches = [Batch(images[half], torch.tensor(labels)[half], 0, 2, 0) for half in halves]
    return Calibration(resamples=100, **options).analyze(Sure(), batches, subject=subject)


def test_images_without_labels_do_not_count() -> None:
    analysis = analyzed([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]], [0, 0, -1])
    assert analysis.scores["accuracy"] == 0.5
    assert analysis.details["count"] == 2
    assert analysis.logits is not None
    assert analysis.logits.shape == (3, 3)


def test_images_without_any_label_are_refused() -> None:
    with pytest.raises(OptionError, match="requires labels, but these images have none"):
        analyzed([[1.0, 0, 0], [0, 1.0, 0]], [-1, -1])


def test_the_table_of_coverage_ends_with_the_error_rate_of_all_images() -> None:
    analysis = analyzed([[float(number), 0, 0] for number in range(1, 11)], [1, 1] + [0] * 8)
    rows = {row["coverage"]: row for row in analysis.tables["coverage"]}
    assert rows[0.5] == pytest.approx(rows[0.5] | {"count": 5, "error_rate": 0})
    assert (rows[1.0]["count"], rows[1.0]["error_rate"]) == (10, pytest.approx(0.2))
    assert rows[1.0]["least_confidence"] == pytest.approx(math.e / (math.e + 2))


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_the_figure_is_drawn_also_for_certain_predictions(scale: float) -> None:
    analysis = analyzed([[scale, 0, 0], [0, scale, 0], [0, 0, 0.5]], [0, 0, 2])
    with Image.open(io.BytesIO(analysis.figures["calibration.png"]())) as image:
        assert image.size[0] > 800
