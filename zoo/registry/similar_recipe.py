"""Find the recipe that another one was made from: the most similar of those listed before it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from zoo.config.recipe import Recipe
from zoo.errors import ZooError
from zoo.registry.registry import Registry


def similar_recipe(registry: Registry, name: str) -> dict[str, Any]:
    """Return the recipe with the same dataset that differs in the fewest options, and these options.

    Only recipes that are listed before this one are considered; the result is empty if there are none.

    Returns `{name, differences: {option: [its value, the value of this recipe]}}`, where the options of the
    model and the data have names such as `model.hidden_size`. A value is None if it is the default.
    """
    recipe, mine = registry.recipes[name], _flat(registry.recipes[name])
    found: tuple[int, str] | None = None
    for other, candidate in registry.recipes.items():
        if other == name:
            break
        if candidate.dataset == recipe.dataset:
            count = len(_differences(_flat(candidate), mine))
            if found is None or count <= found[0]:
                found = count, other
    if found is None:
        return {}
    closest = registry.recipes[found[1]]
    try:
        both = [_flat(each, registry.training_config(each).to_dict()) for each in (closest, recipe)]
    except ZooError:  # one of them has an unknown architecture or option
        return {}
    return {"name": found[1], "differences": _differences(*both)}


def _flat(recipe: Recipe, training: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the options of a recipe in one table, with all training options if they are given."""
    table = asdict(recipe)
    own = {f"{part}.{key}": value for part in ("model", "data") for key, value in table[part].items()}
    start = {key: table[key] for key in ("architecture", "from_weights")}
    return start | own | (table["train"] if training is None else training)


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys([*after, *before])
    pairs = {name: [before.get(name), after.get(name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
