"""Every published weights file matches its entry in registry.toml and its recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.trainings import evaluated
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.registry.registry import Registry
from zoo.testing.finding_weights import find_weights

ROOT = Path(__file__).parents[2]
REGISTRY = Registry.discover()
PUBLISHED = REGISTRY.weights


def test_every_file_is_published_and_small_enough_for_its_folder() -> None:
    files = {path: path.stat().st_size for path in (ROOT / "weights").rglob("*.safetensors")}
    assert files.keys() == {Path(entry.file) for entry in PUBLISHED.values()}
    assert {size > 2_000_000 for path, size in files.items() if path.parent.name == "large"} <= {True}
    assert all(size <= 2_000_000 for path, size in files.items() if path.parent.name == "small")
    assert sum(files.values()) <= 60_000_000


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_file_matches_its_entry(name: str) -> None:
    entry = PUBLISHED[name]
    path = find_weights(REGISTRY, name)  # checks the hash
    model, card = weights.load(path, REGISTRY)
    assert path.stat().st_size == entry.bytes
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.params
    assert card.metrics == entry.metrics
    assert card.by_seed == entry.by_seed
    assert not entry.by_seed or next(iter(entry.by_seed)) == str(card.seed) == "0"  # the first, not the best
    assert entry.license


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_card_matches_the_recipe(name: str) -> None:
    entry = PUBLISHED[name]
    card = read_card(find_weights(REGISTRY, name))
    recipe = REGISTRY.recipe(entry.recipe)
    assert card.architecture == REGISTRY.architecture(recipe.architecture).name
    assert card.dataset.name == REGISTRY.dataset(recipe.dataset).name
    assert card.dataset.options == recipe.data
    assert recipe.model.items() <= card.arguments.items()
    config = REGISTRY.training_config(recipe).replace({"precision": card.training["precision"]})
    theirs = {name: value for name, value in card.training.items() if name in config.fields}
    assert REGISTRY.default_config(card.task).replace(theirs) == config


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the real data in $ZOO_DATA")
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_model_scores_what_its_entry_claims(name: str) -> None:
    model, card = weights.load(find_weights(REGISTRY, name), REGISTRY)
    split: Any
    for split, metrics in PUBLISHED[name].metrics.items():
        measured = evaluated(model, card, REGISTRY, split=split)["metrics"]
        assert {metric: measured[metric] for metric in metrics} == pytest.approx(metrics, rel=1e-3)
