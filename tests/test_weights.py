"""Every published weights file is what registry.toml says of it, and what its recipe makes."""

from __future__ import annotations

import os

import pytest

from zoo import Registry, TrainConfig
from zoo.evaluation.evaluate import evaluate_weights
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.registry.catalog import Catalog

CATALOG = Catalog.load()
PUBLISHED = sorted(CATALOG.weights)


def test_something_is_published() -> None:
    assert PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_file_is_the_one_described(name: str) -> None:
    entry = CATALOG.weights[name]
    path = weights.find(name, CATALOG)  # checks the hash
    card, _ = read_card(path)
    model, _ = weights.load(path, Registry.discover())
    assert path.stat().st_size == entry.bytes
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.params
    assert card.metrics == entry.metrics
    assert entry.seeds == (card.seed,)
    assert entry.license


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipe_would_make_it_again(name: str) -> None:
    entry = CATALOG.weights[name]
    card, _ = read_card(weights.find(name, CATALOG))
    recipe, registry = CATALOG.recipe(entry.recipe), Registry.discover()
    assert card.architecture == registry.architecture(recipe.architecture).name
    assert card.dataset.name == registry.dataset(recipe.dataset).name
    assert card.dataset.options == recipe.data
    assert recipe.model.items() <= card.arguments.items()
    config = recipe.recipe(registry).replace({"precision": card.training["precision"]})
    assert TrainConfig().replace(card.training) == config


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the real data in $ZOO_DATA")
@pytest.mark.parametrize("name", PUBLISHED)
def test_it_scores_what_is_claimed(name: str) -> None:
    (split,) = CATALOG.weights[name].metrics
    measured = evaluate_weights(weights.find(name, CATALOG), Registry.discover(), split=split)
    for metric, claimed in CATALOG.weights[name].metrics[split].items():
        assert measured["metrics"][metric] == pytest.approx(claimed, rel=1e-3)
