"""Confidence intervals: Wilson's, and bootstraps over items or blocks of a text."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from zoo.evaluation.intervals import RESAMPLES, block_length, intervals_of, percentiles, resampled, wilson
from zoo.evaluation.measure import measure
from zoo.interfaces import Step
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [  # the second is an example of Newcombe 1998, table I
        (5, 10, 0.23659, 0.76341),
        (81, 263, 0.25529, 0.36621),
        (0, 20, 0.0, 0.16113),
        (20, 20, 0.83887, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval(successes: int, count: int, low: float, high: float) -> None:
    assert wilson(successes, count) == pytest.approx((low, high), abs=1e-5)


def test_a_bootstrap_of_a_mean_is_as_wide_as_its_standard_error() -> None:
    values = torch.randn(2_000, generator=torch.Generator().manual_seed(0))
    means = [
        float(sums["loss"]) / 2_000 for sums in resampled({"loss": values}, {"loss": ()}, resamples=RESAMPLES)
    ]
    low, high = percentiles(means, 2_000)
    error = float(values.std()) / math.sqrt(2_000)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.06)
    assert (low + high) / 2 == pytest.approx(float(values.mean()), abs=0.2 * error)


def test_an_interval_from_few_blocks_is_wider() -> None:
    values = torch.randn(1_000, generator=torch.Generator().manual_seed(0)).tolist()
    (low, high), (lower, higher) = percentiles(values, 1_000), percentiles(values, 18)
    assert (higher - lower) / (high - low) == pytest.approx(1.1, abs=0.005)  # t with 17 degrees of freedom
    assert lower < low < high < higher


def test_positions_are_drawn_together_with_the_values_of_their_items() -> None:
    right = torch.tensor([True, False, True, True, False])
    items = {"accuracy": right, "confusion": right.long()}
    for sums in resampled(items, {"accuracy": (), "confusion": (1, 2)}, resamples=20):
        assert sums["confusion"].shape == (1, 2)
        assert float(sums["confusion"][0, 1]) == float(sums["accuracy"])
        assert float(sums["confusion"].sum()) == 5


def test_two_models_are_resampled_alike() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(1))
    shapes = {"loss": ()}
    for one, two in zip(
        resampled({"loss": values}, shapes, length=4, resamples=20),
        resampled({"loss": values + 1}, shapes, length=4, resamples=20),
        strict=True,
    ):
        assert float(two["loss"] - one["loss"]) == pytest.approx(50)


def test_neighbors_are_drawn_together() -> None:
    values = torch.arange(12).repeat_interleave(10) % 2  # ten equal values at a time
    together = [
        float(sums["x"])
        for sums in resampled({"x": values.float()}, {"x": ()}, length=5, resamples=RESAMPLES)
    ]
    apart = [float(sums["x"]) for sums in resampled({"x": values.float()}, {"x": ()}, resamples=RESAMPLES)]
    assert torch.tensor(together).std() > 1.5 * torch.tensor(apart).std()
    assert sum(together) / len(together) == pytest.approx(60, abs=1.5)  # ends are as likely


def _dependent(coefficient: float, count: int) -> Tensor:
    noise = torch.randn(count, generator=torch.Generator().manual_seed(2)).tolist()
    values = [0.0]
    for each in noise:
        values.append(coefficient * values[-1] + each)
    return torch.tensor(values[1:])


def test_blocks_are_longer_where_neighbors_depend_on_each_other_more() -> None:
    lengths = [block_length(_dependent(coefficient, 4_000)) for coefficient in (0.0, 0.5, 0.9)]
    assert lengths[0] <= 3
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize("values", [torch.ones(100), torch.ones(1), torch.tensor([1.0, 2.0])])
def test_values_without_a_spread_or_too_few_for_blocks_are_drawn_one_by_one(values: Tensor) -> None:
    assert block_length(values) == 1


class Constant(torch.nn.Module):
    """Predicts token 2 with the logit 3, wherever it reads."""

    def forward(self, tokens: Tensor, state: object = None) -> tuple[Tensor, None]:
        return torch.tensor([0, 0, 3.0, 0, 0, 0, 0, 0]).expand(*tokens.shape, 8), None


def test_values_of_tokens_are_in_the_order_of_the_text(text: Any) -> None:
    task, data = LanguageModeling(LANGUAGE_MODELING), text(test=3_001)  # 16 streams and a rest
    measured = measure(Constant(), task, data, "test", with_items=True)
    targets = data.split("test")[1:]
    expected = torch.where(targets == 2, 0.0, 3.0) + math.log(1 + 7 * math.exp(-3))
    torch.testing.assert_close(measured.items["loss"], expected)


def test_a_metric_of_a_classifier_lies_within_its_interval(net_file: Path) -> None:
    result = zoo.load(net_file).evaluate("test", progress=False)
    for name, (low, high) in result["intervals"].items():
        assert low <= result["metrics"][name] <= high, name
    assert tuple(result["intervals"]["accuracy"]) == wilson(
        round(result["metrics"]["accuracy"] * result["count"]), result["count"]
    )


def test_items_are_kept_only_on_request(images: Any) -> None:
    task = Classification(CLASSIFICATION)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4))
    data = images()
    assert not measure(model, task, data, "val").items
    kept = measure(model, task, data, "val", with_items=True)
    assert int(kept.items["accuracy"].sum()) == int(kept.sums["accuracy"])
    assert len(kept.items["loss"]) == kept.count


class OneSumMore(Classification):
    """A task whose author added a sum, and a metric, but not the values of items."""

    def step(self, *given: Any, **how: Any) -> Step:
        step = super().step(*given, **how)
        return replace(step, sums={**step.sums, "bias": step.sums["loss"]})

    def metrics(self, sums: Any, count: int, preprocess: Any) -> dict[str, float]:
        return {**super().metrics(sums, count, preprocess), "bias": sums["bias"] / count}


def test_a_task_that_lacks_the_values_of_a_sum_has_no_intervals(images: Any) -> None:
    task = OneSumMore(CLASSIFICATION)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4))
    measured = measure(model, task, images(), "val", with_items=True)
    assert "bias" in measured.metrics
    assert intervals_of(task, measured, images().preprocess) == {}
