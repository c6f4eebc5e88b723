"""Every recipe of registry.toml trains on its real data: one epoch scores far above a random baseline."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainings import train
from zoo.registry.registry import Registry

BETTER_THAN = {
    "stdlib-lstm": ("loss", 2.0),
    "nietzsche-windows": ("loss", 2.2),
    "nietzsche-sections": ("loss", 2.1),
    "nietzsche-stateful": ("loss", 2.1),
    "nietzsche-rnn": ("loss", 1.9),
    "nietzsche-rnn-cell": ("loss", 1.9),
    "nietzsche-gru": ("loss", 1.8),
    "nietzsche-gru-cell": ("loss", 1.8),
    "nietzsche-lstm-cell": ("loss", 1.8),
    "nietzsche-min-gru": ("loss", 2.1),
    "nietzsche-lstm": ("loss", 1.8),
    "nietzsche-awd-lstm": ("loss", 1.8),
    "tinyshakespeare-words": ("loss", 6.5),
    "tinyshakespeare-awd-lstm": ("loss", 1.9),
    "cifar10-mlp": ("accuracy", 0.35),
    "cifar10-convnet": ("accuracy", 0.35),
    "cifar10-convnet-bn": ("accuracy", 0.5),
    "cifar10-convnet-bn-deep": ("accuracy", 0.5),
    "cifar10-resnet-lite": ("accuracy", 0.5),
    "cifar10-resnet-lite-wide": ("accuracy", 0.33),
    "cifar10-resnet20": ("accuracy", 0.5),
    "cifar10-resnet56": ("accuracy", 0.45),
    "cifar10-airbench": ("accuracy", 0.5),
    "shapes-resnet20": ("accuracy", 0.5),
    "shapes-from-cifar10": ("accuracy", 0.2),
    "shapes-from-scratch": ("accuracy", 0.13),
    "shapes-camnet": ("accuracy", 0.15),
    "mnist-convnet-bn": ("accuracy", 0.95),
    "fashion-mnist-convnet-bn": ("accuracy", 0.7),
    "scenes-convnet-bn": ("mAP", 0.35),
}


NUMBERS = {
    "four": 4, "six": 6, "eight": 8, "nine": 9, "ten": 10, "fourteen": 14, "fifteen": 15,
    "seventeen": 17, "thirty": 30, "forty": 40,
}  # fmt: skip


def test_every_recipe_is_tested(registry: Registry) -> None:
    assert set(BETTER_THAN) == set(registry.recipes)


@pytest.mark.parametrize("name", BETTER_THAN)
def test_a_recipe_takes_nothing_from_its_architecture_s_defaults(name: str, registry: Registry) -> None:
    recipe = registry.recipe(name)
    usual = registry.default_config(registry.task_of(recipe).name)
    assert usual.replace(recipe.train) == registry.training_config(recipe)


@pytest.mark.parametrize("name", BETTER_THAN)
def test_the_summary_of_a_recipe_states_its_epochs_and_the_number_of_its_images(
    name: str, registry: Registry
) -> None:
    recipe = registry.recipe(name)
    epochs = re.search(r"(\S+) epochs$", recipe.summary)
    images = re.search(r"([\d,]+) synthetic", recipe.summary)
    assert recipe.train["epochs"] == (NUMBERS[epochs[1]] if epochs else 1)
    if images:
        assert recipe.data["train_size"] == int(images[1].replace(",", ""))


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BETTER_THAN)
def test_an_epoch_learns(name: str, registry: Registry, tmp_path: Path) -> None:
    if not name.startswith(("stdlib", "shapes", "scenes")) and not os.environ.get("ZOO_DATA"):
        pytest.skip("needs the real data in $ZOO_DATA")
    recipe = registry.recipe(name)
    short = replace(recipe, train=recipe.train | {"epochs": 1})
    (metrics,) = train(short, registry, directory=tmp_path / "run").metrics.values()
    metric, bar = BETTER_THAN[name]
    better = metrics[metric] > bar if metric in ("accuracy", "mAP") else metrics[metric] < bar
    assert better, f"{metric} {metrics[metric]:.4f}"
