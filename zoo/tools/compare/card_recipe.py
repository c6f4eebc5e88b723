"""The recipe that a card records: everything needed to train the same weights again. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.config.recipe import Recipe
from zoo.errors import OptionError, WeightsError, ZooError
from zoo.files.cards import Card
from zoo.registry.registry import Registry
from zoo.registry.weights_files import weights_of


def recipe_of(card: Card, registry: Registry, *, data: Mapping[str, Any], base: str) -> Recipe:
    """Return the recipe of a card, without training options that only other tasks have.

    Args:
        data: dataset options, in addition to the card's.
        base: weights to start from, or an empty string.
    """
    dims = registry.task(card.task).dims
    model = {name: value for name, value in card.arguments.items() if name not in dims}
    if file := registry.architecture(card.architecture).spec.pretrained_file(card.arguments):
        model["pretrained"] = Path(file).name  # in the current folder: a card never sets a path
    known = registry.default_config(card.task).to_dict()
    return Recipe(
        architecture=card.architecture,
        dataset=card.dataset.name,
        model=model,
        data={**card.dataset.options, **data},
        train={name: value for name, value in card.training.items() if name in known},
        from_weights=base,
        seed=card.seed,
        threads=card.environment.threads,
    )


def base_of(card: Card, registry: Registry, given: str | Path | None, *, progress: bool) -> str:
    """Return the absolute path of the weights that training started from, or "" if it started from none.

    The weights are recognized by the sha256 of their tensors.

    Args:
        given: weights that the user names; by default, published weights are searched.

    Raises OptionError if the given weights are not those of the card, and WeightsError if none are found.
    """
    from zoo.api.load_weights import load

    wanted = card.base_model.get("sha256", "")
    if given is not None:
        model = load(given, device="cpu", progress=progress, registry=registry)
        if model.card.sha256 != wanted:
            what = _named(card) if wanted else "random weights"
            message = f"from_weights: training did not start from {given}, but from {what}"
            raise OptionError(message)
        return str(model.path.absolute())
    if not wanted:
        return ""
    for name in weights_of(registry, card.base_model["architecture"]):
        try:
            model = load(name, device="cpu", progress=progress, registry=registry)
        except ZooError:  # a file that is damaged or elsewhere
            continue
        if model.card.sha256 == wanted:
            return str(model.path.absolute())
    if registry.architecture(card.architecture).spec.starts_from(card.arguments):
        return ""  # the architecture loads them itself
    message = f"training started from weights that are not published: {_named(card)}"
    raise WeightsError(message, hint="pass them with --from")


def _named(card: Card) -> str:
    base = card.base_model
    return f"{base.get('architecture')} on {base.get('dataset')}, tensor sha256 {base.get('sha256', '')[:16]}"
