"""Average precision from histograms, against a plain implementation that sorts the scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo_images.average_precision import BINS, average_precision, histograms


def plain(scores: Tensor, labels: Tensor) -> float:
    """Precision at each distinct score, from the highest down, times the recall that it gains."""
    total, before, result = float(labels.sum()), 0.0, 0.0
    for score in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= score
        hits = float(labels[chosen].sum())
        result += (hits - before) / total * hits / float(chosen.sum())
        before = hits
    return result


def drawn(seed: int, count: int, classes: int = 4, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    labels = torch.rand(count, classes, generator=draws) < torch.linspace(0.05, 0.6, classes)
    return scale * (torch.randn(count, classes, generator=draws) + seed % 3 * labels), labels


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_close_to_that_of_the_exact_scores(seed: int, scale: float) -> None:
    scores, labels = drawn(seed, 2_000, scale=scale)
    found = average_precision(histograms(scores, labels))
    for k, value in enumerate(found.tolist()):
        assert value == pytest.approx(plain(scores[:, k], labels[:, k]), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_exact_for_scores_of_few_bits_with_ties(seed: int) -> None:
    scores, labels = drawn(seed, 300)
    scores = (scores * 8).round() / 8
    found = average_precision(histograms(scores, labels))
    for k, value in enumerate(found.tolist()):
        assert value == pytest.approx(plain(scores[:, k], labels[:, k]), abs=1e-12)


def test_a_tie_counts_as_one_threshold() -> None:
    scores = torch.tensor([[0.5], [0.5], [-1.0], [-2.0]])
    labels = torch.tensor([[True], [False], [False], [True]])
    assert average_precision(histograms(scores, labels)).item() == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)


def test_batches_add_up() -> None:
    scores, labels = drawn(1, 100)
    parts = histograms(scores[:37], labels[:37]) + histograms(scores[37:], labels[37:])
    assert torch.equal(parts, histograms(scores, labels))


def test_bins_are_in_the_order_of_scores_of_any_size() -> None:
    scores = torch.tensor([-torch.inf, -300, -255, -1, -0.5, -0.01, -1e-9, 0.0, 0.01, 0.5, 1, 255, 1e30])
    places = [int(histograms(score.view(1, 1), torch.ones(1, 1))[1, 0].argmax()) for score in scores]
    assert places == sorted(places)
    assert len(set(places)) == len(places) - 1  # beyond 256 all are alike
    assert (places[0], places[-1]) == (0, BINS - 1)
    zeros = histograms(torch.tensor([[0.0], [-0.0]]), torch.ones(2, 1))
    assert zeros.max() == 2


def test_a_class_without_positives_has_none() -> None:
    scores, labels = drawn(0, 20, classes=2)
    labels[:, 1] = False
    first, second = average_precision(histograms(scores, labels)).tolist()
    assert 0 < first <= 1
    assert second != second


def test_the_sums_of_eighty_classes_take_ten_megabytes() -> None:
    assert histograms(torch.zeros(1, 80), torch.zeros(1, 80)).double().nbytes == 10_485_760
