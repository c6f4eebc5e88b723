"""The published values of weights, from their card and, for a published id, the registry. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from zoo.api.model import Model
from zoo.config.recipe import Recipe
from zoo.files.cards import Card
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry


class Claim(NamedTuple):
    """A published metric, or another published value, for which `split` is empty.

    Attributes:
        problem: how the card and the registry disagree; empty if they agree.
    """

    split: str
    metric: str
    value: Any = None
    problem: str = ""


class ClaimMismatch(NamedTuple):
    """A published value that the file contradicts: its name, the value stated, and the value found."""

    name: str
    stated: Any
    found: Any


def primary_claim(card: Card, registry: Registry) -> Claim | None:
    """Return the primary metric that a card states, on the test split if it has one; None without metrics."""
    metric = registry.task(card.task).primary_metric
    for split in ("test", "val"):
        if metric in card.metrics.get(split, {}):
            return Claim(split, metric, card.metrics[split][metric])
    return None


def metric_claims(card: Card, spec: WeightsSpec | None) -> Iterator[Claim]:
    """Yield every metric that the registry or the card states, with the registry's value if both do."""
    listed = spec.metrics if spec else {}
    for split in dict.fromkeys([*listed, *card.metrics]):
        stated, carded = listed.get(split, {}), card.metrics.get(split, {})
        for metric in dict.fromkeys([*stated, *carded]):
            value = stated.get(metric, carded.get(metric))
            problem = ""
            if spec and stated.get(metric) != carded.get(metric):
                ours, theirs = (of.get(metric, "nothing") for of in (carded, stated))
                problem = f"the card states {ours}, but the registry states {theirs}"
            yield Claim(split, metric, value, problem)


def mismatches(model: Model, spec: WeightsSpec | None, registry: Registry) -> Iterator[ClaimMismatch]:
    """Yield the values in the card or the registry that the file contradicts, except metrics.

    The sha256 of a published file is checked where the file is read.
    """
    pairs = [*_of_seeds(model.card, registry)]
    if spec:
        pairs.append(ClaimMismatch("bytes", spec.bytes, model.path.stat().st_size))
        pairs.append(ClaimMismatch("params", spec.params, model.num_parameters))
        pairs.append(ClaimMismatch("by_seed", spec.by_seed, model.card.by_seed))
        if recipe := registry.recipes.get(spec.recipe):
            pairs += recipe_claims(model.card, recipe, registry)
    yield from (pair for pair in pairs if pair.stated != pair.found)


def _of_seeds(card: Card, registry: Registry) -> Iterator[ClaimMismatch]:
    claim = primary_claim(card, registry)
    if card.by_seed and claim:
        yield ClaimMismatch(f"by_seed.{card.seed}", card.by_seed.get(str(card.seed)), claim.value)


def recipe_claims(card: Card, recipe: Recipe, registry: Registry) -> Iterator[ClaimMismatch]:
    """Yield each value that a recipe sets, with the value in the card of its weights, equal or not."""
    yield ClaimMismatch("architecture", registry.architecture(recipe.architecture).name, card.architecture)
    yield ClaimMismatch("dataset", registry.dataset(recipe.dataset).name, card.dataset.name)
    if not card.by_seed:
        yield ClaimMismatch("seed", recipe.seed, card.seed)
    config = registry.training_config(recipe).to_dict()
    for name, value in recipe.model.items():
        yield ClaimMismatch(name, value, card.arguments.get(name))
    for name, value in recipe.data.items():
        if name in card.dataset.options:  # it has no paths
            yield ClaimMismatch(name, value, card.dataset.options[name])
    for name in recipe.train:
        if config[name] != "auto":  # the machine decides
            yield ClaimMismatch(name, config[name], card.training.get(name))
