"""Metrics and losses of plugins: their values, intervals, and the loss that training minimizes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from tests.configs import configured
from zoo import OptionError, Registry, TrainConfig
from zoo.errors import SpecError
from zoo.evaluation.intervals import intervals_of
from zoo.evaluation.measure import measure
from zoo.evaluation.metrics import with_metrics
from zoo.interfaces import Batch, make_task
from zoo.registry.methods import all_checked
from zoo.testing._models import model_for
from zoo_images.metrics import FocalLoss, MacroF1, MatthewsCorrelation
from zoo_images.tiny import TinyImages
from zoo_text.tiny import TinyText


class Guess(nn.Module):
    """Logits from the mean color of an image."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(images.mean((2, 3)))


class Powered(MatthewsCorrelation):
    """A metric with an option that has no default.

    Args:
        power: an exponent.
    """

    def __init__(self, *, power: int) -> None:
        self.power = power


class Bigram(nn.Module):
    """Logits from the last token."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, size)

    def forward(self, tokens: Tensor, state: object = None) -> tuple[Tensor, object]:
        return self.table(tokens), state


def extended(registry: Registry, *names: str, loss: str = "", **options: float) -> Any:
    return with_metrics(make_task(registry, "classification"), registry, names, options, loss=loss)


def score(metric: Any, outputs: Tensor, targets: Tensor) -> float:
    sums = {name: value.double().sum(0) for name, value in metric.items(outputs, targets).items()}
    return metric.value(sums, len(targets))


@pytest.mark.parametrize(
    ("metric", "name", "options"),
    [(MacroF1(), "f1_score", {"average": "macro"}), (MatthewsCorrelation(), "matthews_corrcoef", {})],
)
def test_a_metric_equals_that_of_scikit_learn(metric: Any, name: str, options: dict[str, str]) -> None:
    from sklearn import metrics  # slow to import, also for the processes that collect this test

    reference = getattr(metrics, name)
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 5, (200,), generator=generator) ** 2 % 5
    outputs = torch.randn(200, 5, generator=generator) + 2 * F.one_hot(targets, 5)
    assert score(metric, outputs, targets) == pytest.approx(reference(targets, outputs.argmax(1), **options))


def test_the_correlation_of_a_constant_prediction_is_0() -> None:
    assert score(MatthewsCorrelation(), torch.eye(3)[[0, 0, 0]], torch.tensor([0, 1, 2])) == 0.0


def test_a_focal_loss_without_gamma_is_the_cross_entropy() -> None:
    outputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = F.cross_entropy(outputs, targets, reduction="none")
    torch.testing.assert_close(FocalLoss(gamma=0).losses(outputs, targets), expected)
    sure, unsure = FocalLoss().losses(torch.tensor([[5.0, 0], [0.1, 0]]), torch.tensor([0, 0]))
    assert sure < 1e-3 * unsure


def test_a_metric_is_measured_beside_those_of_the_task(registry: Registry) -> None:
    torch.manual_seed(0)
    data = TinyImages()
    plain, task = make_task(registry, "classification"), extended(registry, "macro-f1", "mcc")
    model = Guess(data.dims["in_channels"], data.dims["num_classes"])
    assert "macro-f1" in task.spec.higher_is_better
    assert task.spec.units["macro-f1"] == "%"
    found = measure(model, task, data, "val", with_items=True)
    before = measure(model, plain, data, "val", with_items=True)
    assert {name: found.metrics[name] for name in before.metrics} == before.metrics
    assert found.metrics.keys() - before.metrics.keys() == {"macro-f1", "mcc"}
    intervals = intervals_of(task, found, data.preprocess)
    low, high = intervals["macro-f1"]
    assert low <= found.metrics["macro-f1"] <= high
    assert intervals["accuracy"] == intervals_of(plain, before, data.preprocess)["accuracy"]


def test_a_metric_of_a_text_counts_each_token(registry: Registry) -> None:
    task = with_metrics(make_task(registry, "language-modeling"), registry, ["token-accuracy"], {})
    data = TinyText()
    found = measure(Bigram(data.dims["vocab_size"]), task, data, "val", with_items=True)
    assert found.items["token-accuracy/right"].shape == (found.count,)
    assert found.metrics["token-accuracy"] == pytest.approx(found.items["token-accuracy/right"].mean().item())


def test_the_units_of_our_tasks_name_all_their_metrics(registry: Registry) -> None:
    """Otherwise, a plugin's metric of the same name would replace one of these."""
    for name, spec in registry.tasks.items():
        task, data = make_task(registry, name), spec.load_tiny()()
        model = model_for(registry, spec, data.dims).eval()
        assert measure(model, task, data, "val").metrics.keys() <= spec.units.keys(), name


CONFIDENT = """
from zoo import MetricSpec, hookimpl

class Confident:
    def losses(self, outputs, targets):
        assert outputs.shape[:2] == targets.shape == (1, 3)
        return outputs.logsumexp(-1)

@hookimpl
def zoo_metrics():
    return [MetricSpec(name="confident", target="confident:Confident", summary="One")]
"""


def test_a_window_of_text_has_outputs_for_its_targets_only(tmp_path: Path) -> None:
    (tmp_path / "confident.py").write_text(CONFIDENT)
    registry = Registry.discover(files=[tmp_path / "confident.py"])
    task = with_metrics(make_task(registry, "language-modeling"), registry, [], {}, loss="confident")
    windows = Batch(torch.randint(0, 9, (5, 3)), torch.tensor([[0, 1, 2]]), 0, 1, 0)
    assert task.step(Bigram(9).train(), windows, config=configured()).loss.requires_grad


def test_a_loss_replaces_what_is_minimized_and_not_what_is_logged(registry: Registry) -> None:
    torch.manual_seed(0)
    task, model = extended(registry, loss="focal-loss", **{"focal-loss.gamma": 1.0}), Guess(3, 10)
    data = Batch(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]), 0, 1, 0)
    step = task.step(model.train(), data, config=TrainConfig())
    outputs = model(data.inputs)
    losses = FocalLoss(gamma=1.0).losses(outputs, data.targets)
    torch.testing.assert_close(step.loss, losses.mean())
    torch.testing.assert_close(step.sums["loss"], (F.cross_entropy(outputs, data.targets) * 4).detach())
    step.loss.backward()
    assert model.out.weight.grad is not None
    weighted = replace(data, weights=torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(task.step(model, weighted, config=TrainConfig()).loss, losses[0] / 4)


def test_a_loss_of_whole_batches_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    task, model = extended(registry, loss="focal-loss"), Guess(3, 10)
    data = Batch(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]), 0, 1, 0)
    monkeypatch.setattr(FocalLoss, "losses", lambda *_: torch.zeros((), requires_grad=True))
    with pytest.raises(SpecError, match=r"the loss of each item \(got the shape \(\)\)"):
        task.step(model.train(), data, config=TrainConfig())


def test_label_smoothing_is_refused_with_another_loss(registry: Registry) -> None:
    task, config = extended(registry, loss="focal-loss"), configured(label_smoothing=0.1, loss="focal-loss")
    data = Batch(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]), 0, 1, 0)
    with pytest.raises(OptionError, match=r"label_smoothing=0\.1 has no effect with loss=focal-loss"):
        task.step(Guess(3, 10).train(), data, config=config)


def test_a_required_option_is_named_as_users_type_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_images.metrics.MatthewsCorrelation", Powered)
    with pytest.raises(OptionError, match=r"images/mcc requires mcc\.power") as caught:
        extended(registry, "mcc")
    assert caught.value.hint == "add --metric-option mcc.power=..."
    task = make_task(registry, "classification")
    assert "mcc" in with_metrics(task, registry, ["mcc"], {"mcc.power": 3}).spec.higher_is_better


def test_a_metric_that_is_not_finite_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    data, task = TinyImages(), extended(registry, "mcc")
    model = Guess(data.dims["in_channels"], data.dims["num_classes"])
    monkeypatch.setattr(MatthewsCorrelation, "value", lambda *_: float("nan"))
    with pytest.raises(SpecError, match="the metric mcc is nan"):
        measure(model, task, data, "val")
    nn.init.constant_(model.out.weight, float("nan"))
    assert math.isnan(measure(model, task, data, "val").metrics["loss"]), "the model is at fault"


@pytest.mark.parametrize("name", ["focal-loss", "focal_loss", "images/focal-loss"])
def test_an_option_belongs_to_an_entry_by_any_of_its_names(name: str, registry: Registry) -> None:
    entry = registry.entry("metric", "focal-loss")
    assert all_checked({f"{name}.gamma": 3}, [entry], kind="metric", flag="") == {"focal-loss.gamma": 3.0}


@pytest.mark.parametrize("option", ["mcc.gamma", "focal-loss.gamma", "gamma"])
def test_an_evaluation_refuses_an_option_that_no_metric_has(option: str, registry: Registry) -> None:
    task = make_task(registry, "classification")
    with pytest.raises(OptionError, match="gamma"):
        with_metrics(task, registry, ["mcc"], {"focal-loss.gamma": 1.0}, given={option: 2})


@pytest.mark.parametrize("forged", [{"metrics": 7}, {"metrics": [7]}, {"metrics_options": 7}])
def test_a_card_with_metrics_of_another_type_is_refused(forged: dict[str, object]) -> None:
    model = zoo.load("shapes-resnet20")
    model.card = msgspec.structs.replace(model.card, training={**model.card.training, **forged})
    with pytest.raises(OptionError, match=f"{next(iter(forged))} must be"):
        model.evaluate(data={"test_size": 4}, progress=False)
