"""A new last layer is fitted to features before fine-tuning."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.config.train_config import TrainConfig
from zoo.errors import ZooWarning
from zoo.registry.registry import Registry
from zoo.training import probe
from zoo.training.probe import fit_last_layer
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION

TASK = Classification(CLASSIFICATION)
NEW = ["3.weight", "3.bias"]


class NotANumber(Classification):
    """A task whose loss overflows."""

    def step(self, *given: Any, **options: Any) -> Any:
        step = super().step(*given, **options)
        return replace(step, loss=step.loss * float("nan"), sums={"loss": step.sums["loss"] * float("nan")})


def network(*last: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 64), nn.ReLU(), *(last or [nn.Linear(64, 8)]))


def shapes(registry: Registry, count: int = 200) -> Any:
    return registry.dataset("shapes").load()(size=16, train_size=count, val_size=0, test_size=0)


def loss(model: nn.Module, dataset: Any) -> float:
    batch = next(TASK.train_batches(dataset, TrainConfig(batch_size=500), seed=0, epoch=0))
    return float(TASK.step(model.eval(), batch).loss.detach())


def test_the_last_layer_alone_changes_and_is_the_same_each_time(registry: Registry) -> None:
    dataset, models = shapes(registry), [network(), network()]
    before = loss(models[0], dataset)
    with pytest.warns(
        ZooWarning, match=r"^the new layer 3 starts from a fit to the features of 200 training images$"
    ):
        losses = [fit_last_layer(model, TASK, dataset, NEW) for model in models]
    assert losses[0] == losses[1]
    assert loss(models[0], dataset) < 0.95 * before
    fresh, (one, other) = network().state_dict(), [model.state_dict() for model in models]
    assert [name for name in fresh if not torch.equal(fresh[name], one[name])] == NEW
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(p.grad is None for p in models[0].parameters())


def test_of_penalties_that_few_images_cannot_tell_apart_the_strongest_is_chosen(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(*penalties: float) -> tuple[float, nn.Module]:
        monkeypatch.setattr(probe, "PENALTIES", penalties)
        model = network()
        return fit_last_layer(model, TASK, shapes(registry, 100), NEW) or 0.0, model

    (strong, expected), (weak, _), (chosen, model) = fitted(3.0), fitted(0.1), fitted(3.0, 0.1)
    assert weak < strong  # 20 images judge
    assert chosen == strong
    assert all(
        torch.equal(one, other) for one, other in zip(model.parameters(), expected.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("model", "new", "count"),
    [
        (network(nn.Linear(64, 8), nn.Softmax(1)), NEW, 200),
        (network(nn.Linear(64, 8), nn.Linear(8, 8)), [*NEW, "4.weight", "4.bias"], 200),
        (network(nn.Unflatten(1, (64, 1)), nn.Conv1d(64, 8, 1), nn.Flatten()), ["4.weight", "4.bias"], 200),
        (network(), NEW, 9),
        (network(), [], 200),
    ],
    ids=["another layer follows", "two layers", "not linear", "nine images", "nothing new"],
)
def test_other_models_and_very_few_images_are_left_as_they_are(
    model: nn.Module, new: list[str], count: int, registry: Registry
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert fit_last_layer(model, TASK, shapes(registry, count), new) is None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_fit_that_fails_leaves_the_layer_as_it_was(registry: Registry) -> None:
    model, before = network(), network().state_dict()
    assert fit_last_layer(model, NotANumber(CLASSIFICATION), shapes(registry), NEW) is None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def pictures(registry: Registry, seed: int) -> tuple[Any, list[str]]:
    """Return images as `shapes-resnet20` was trained on, with other names of their classes."""
    open_shapes = registry.dataset("shapes").load()
    data = open_shapes(size=64, objects=3, clutter=8, train_size=60, val_size=0, test_size=0, seed=seed)
    split = data.split("train")
    return split.images.numpy(), [f"kind {label}" for label in split.labels.tolist()]


def test_the_last_layer_is_trained_alone_if_the_features_fit_and_nobody_says_otherwise(
    registry: Registry, tmp_path: Any
) -> None:
    data = {"train": pictures(registry, 1), "test": pictures(registry, 2)}
    run = zoo.train("resnet20", data, from_weights="shapes-resnet20", run=tmp_path / "fit", progress=False)
    assert (run.recipe.train["freeze"], run.recipe.train["epochs"]) == (["conv", "norm", "stages"], 3)
    assert run.result.metrics["test"]["accuracy"] >= 0.9
    said: dict[str, Any] = {"freeze": (), "epochs": 1, "progress": False, "from_weights": "shapes-resnet20"}
    run = zoo.train("resnet20", data, run=tmp_path / "said", **said)
    assert (run.recipe.train["freeze"], run.recipe.train["epochs"]) == ([], 1)
    mixed = data["train"][0], random.Random(0).sample(data["train"][1], 60)  # which no features fit
    said.pop("freeze")
    run = zoo.train("resnet20", {"train": mixed}, run=tmp_path / "mixed", **said)
    assert run.recipe.train["freeze"] == []
