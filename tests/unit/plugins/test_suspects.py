"""Labels that are probably wrong."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tests.fakes import Pixels
from zoo.errors import OptionError
from zoo.interfaces import Analysis, Batch, Subject
from zoo_analyzers.held_out import held_out_log_probabilities
from zoo_analyzers.suspects import Suspects, suspects

PREPROCESS = {"size": 2, "mean": [0.5], "std": [0.25], "classes": ["a", "b", "c"]}


def clusters(count: int = 120) -> tuple[Tensor, Tensor]:
    """Points around three centers, (N, 4), and the number of the center of each, (N,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    centers = torch.eye(3, 4) * 3
    return centers[labels] + 0.4 * torch.randn(count, 4, generator=generator), labels


def test_an_item_does_not_confirm_its_own_label() -> None:
    points, labels = clusters()
    before = held_out_log_probabilities(points, labels, classes=3, folds=5)
    wrong = labels.clone()
    wrong[7] = (labels[7] + 1) % 3
    after = held_out_log_probabilities(points, wrong, classes=3, folds=5)
    assert torch.equal(before[7], after[7])  # which was fitted without it
    assert not torch.equal(before, after)
    assert (before.argmax(1) == labels).double().mean() > 0.98


def test_the_regression_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression  # slow to import

    points, labels = clusters(30)
    labels = labels.clone()
    labels[:4] = 2
    found = held_out_log_probabilities(points, labels, classes=3, folds=30)
    one = found.exp().sum(1)
    torch.testing.assert_close(one, torch.ones(30))
    others = torch.arange(30) != 5
    mean, sd = points[others].mean(0), points[others].std(0, correction=0)
    scaled = ((points - mean) / sd).numpy()
    expected = LogisticRegression(C=1, tol=1e-8, max_iter=1_000).fit(scaled[others], labels[others])
    probabilities = torch.from_numpy(expected.predict_proba(scaled[5:6])[0])
    torch.testing.assert_close(found[5].exp(), probabilities.float(), atol=2e-3, rtol=0)


def test_features_that_never_vary_and_a_class_without_items() -> None:
    points, labels = clusters(12)
    points[:, 1] = 5.0
    found = held_out_log_probabilities(points, labels.clamp(max=1), classes=3, folds=5)
    assert torch.isfinite(found).all()


def test_items_are_suspect_if_another_class_is_as_probable_as_that_class_usually_is() -> None:
    probabilities = torch.tensor(
        [
            [0.9, 0.05, 0.05],
            [0.7, 0.2, 0.1],
            [0.85, 0.1, 0.05],  # label b, but as probable as a usually is
            [0.3, 0.6, 0.1],
            [0.75, 0.2, 0.05],  # label b, and a is less probable than usual
            [0.01, 0.01, 0.98],  # label b, but c, which no item has as its label
        ]
    )
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    likely, order = suspects(probabilities.log(), labels, confidence=1)
    assert likely.tolist() == [0, 0, 0, 1, 1, 1]
    assert order.tolist() == [2]
    likely, order = suspects(probabilities.log(), labels, confidence=0.9)
    assert order.tolist() == [2, 4], "the highest loss first"


def test_a_class_that_is_never_found_is_not_a_likely_one() -> None:
    probabilities = torch.tensor(
        [[0.95, 0.04, 0.01], [0.6, 0.395, 0.005], [0.3, 0.69, 0.01], [0.9, 0.0999, 0.0001]]
    )
    _, order = suspects(probabilities.log(), torch.tensor([0, 0, 1, 2]), confidence=1)
    assert order.tolist() == [3], "the only image of class 2 is like class 0; others are not like class 2"


MODEL = Pixels()


def analyzed(points: Tensor, labels: Tensor, **options: Any) -> Analysis:
    images = points.view(-1, 1, 2, 2)
    parts = zip(images.split(50), labels.split(50), strict=True)
    batches = [Batch(part, own, n, 3, 0) for n, (part, own) in enumerate(parts)]
    subject = Subject(
        task="classification",
        landmarks={"features": "features"},
        preprocess=PREPROCESS,
        names=tuple(f"folder/{n}.png" for n in range(len(labels))),
    )
    return Suspects(**options).analyze(MODEL, batches, subject=subject)


def test_swapped_labels_are_found_with_the_likely_one() -> None:
    points, labels = clusters()
    wrong = labels.clone()
    wrong[[4, 61, 118]] = torch.tensor([0, 0, 0])  # 4 % 3 == 61 % 3 == 118 % 3 == 1
    analysis = analyzed(points, wrong)
    rows = analysis.tables["suspects"]
    assert sorted(row["input"] for row in rows) == ["folder/118.png", "folder/4.png", "folder/61.png"]
    assert {(row["true"], row["likely"]) for row in rows} == {("a", "b")}
    assert all(row["probability"] > 0.8 for row in rows)
    assert [row["loss"] for row in rows] == sorted((row["loss"] for row in rows), reverse=True)
    assert analysis.scores == {
        "suspects": 3,
        "share": 3 / 120,
        "held_out_accuracy": pytest.approx(117 / 120),
        "held_out_loss": pytest.approx(0.3, abs=0.2),
        "loss": pytest.approx(float(F.cross_entropy(MODEL(points.view(-1, 1, 2, 2)), wrong).detach())),
    }
    few, more = (
        Image.open(io.BytesIO(analyzed(points, wrong, examples=count).figures["suspects.png"]()))
        for count in (1, 3)
    )
    assert few.width * few.height < more.width * more.height


def test_right_labels_are_not_suspect() -> None:
    analysis = analyzed(*clusters())
    assert (analysis.tables["suspects"], analysis.figures) == ([], {})
    assert analysis.text == "no label is suspect"


def test_images_without_labels_are_skipped() -> None:
    points, labels = clusters()
    wrong = labels.clone()
    wrong[[4, 61]] = torch.tensor([0, -1])
    analysis = analyzed(points, wrong)
    assert [(row["input"], row["number"]) for row in analysis.tables["suspects"]] == [("folder/4.png", 4)]
    assert analysis.scores["share"] == 1 / 119
    with pytest.raises(OptionError, match="requires labels, but these images have none"):
        analyzed(points, torch.full((120,), -1))
