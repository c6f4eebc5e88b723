"""From the words that name a training (a recipe, or architecture and dataset) to a Recipe. Torch-free."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.config.arguments import checked, is_url
from zoo.config.recipe import Recipe
from zoo.config.signatures import refuse_missing
from zoo.errors import DataError, UnknownName, ZooError
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec
from zoo.registry.weights_files import locate_weights

__all__ = ["check_recipe", "find_recipe"]


@checked
def find_recipe(
    name: str | Recipe,
    dataset: str | None,
    registry: Registry,
    *,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    from_weights: str | Path | None = None,
    seed: int | None = None,
    threads: int | None = None,
    **fields: Any,
) -> Recipe:
    """Return a recipe, or an architecture on a dataset, with options, fields and a seed on top of it.

    Raises:
        UnknownName, AmbiguousName: there is no such recipe, architecture or dataset.
        OptionError: a training field is unknown, out of range or one of another task.
    """
    recipe = name if isinstance(name, Recipe) else _named(name, dataset, registry)
    if isinstance(from_weights, Path):  # as text, a bare word would be an id
        from_weights = f"{'' if from_weights.is_absolute() else './'}{from_weights}"
    recipe = replace(
        recipe,
        model={**recipe.model, **(model or {})},
        data={**recipe.data, **(data or {})},
        train={**recipe.train, **fields},
        from_weights=recipe.from_weights if from_weights is None else from_weights,
        seed=recipe.seed if seed is None else seed,
        threads=recipe.threads if threads is None else threads,
    )
    registry.training_config(recipe)
    return recipe


def check_recipe(recipe: Recipe, registry: Registry, *, resume: bool = False) -> None:
    """Raise a ZooError, without the seconds of loading torch, if there are no such data or weights.

    Args:
        resume: whether a run is continued, which needs the weights that it started from no more.
    """
    dataset = registry.dataset(recipe.dataset)
    options = {**dataset.spec.config, **recipe.data}
    refuse_missing(options, dataset.spec.required, what=f"dataset {dataset.name}", flag="--data")
    root = options.get("root")
    if isinstance(root, str) and root and not is_url(root) and not Path(root).expanduser().is_dir():
        raise DataError(f"there is no folder {root!r}", hint=f"`zoo show {dataset.name}` says what root is")
    name = recipe.from_weights
    if name and not (resume or registry.weights.find(name) or registry.has("architecture", name)):
        locate_weights(registry, name)


def _named(name: str, dataset: str | None, registry: Registry) -> Recipe:
    recipes = registry.recipes.names()
    if dataset is not None:
        is_recipe = name in recipes and not registry.has("architecture", name)
        if not registry.has("dataset", dataset) and os.path.exists(dataset):  # noqa: PTH110
            hint = _hint_for_path(dataset, registry, None if is_recipe else registry.architecture(name))
            raise UnknownName(f"{dataset} is a path, not a dataset", hint=hint)
        if is_recipe:
            raise UnknownName(
                f"{name} is a recipe, which names its dataset",
                hint=f"leave {dataset} out, or name an architecture in its place",
            )
        swapped = registry.has("dataset", name) and registry.has("architecture", dataset)
        if swapped and not (registry.has("architecture", name) and registry.has("dataset", dataset)):
            raise UnknownName(f"the architecture comes first: {dataset} {name}")
        architecture = registry.architecture(name)
        return Recipe(architecture=architecture.name, dataset=registry.dataset(dataset).name)
    if name not in recipes:
        _refuse_alone(name, registry)
    recipe = registry.recipe(name)
    try:
        registry.training_config(recipe)
        registry.dataset(recipe.dataset)
    except ZooError as error:
        raise type(error)(f"recipe {name}: {error}", hint=error.hint) from None
    return recipe


def _refuse_alone(name: str, registry: Registry) -> None:
    """Raise UnknownName for what is no recipe, if it is something else."""
    if registry.has("dataset", name):
        raise UnknownName(
            f"{name} is a dataset and needs an architecture: ARCHITECTURE {name}",
            hint="`zoo list architectures` shows them",
        )
    if registry.has("architecture", name):
        raise UnknownName(
            f"{name} is an architecture and needs a dataset: {name} DATASET",
            hint="`zoo list datasets` shows them",
        )
    if os.path.exists(name):  # noqa: PTH110
        raise UnknownName(f"{name} is a path, not a recipe", hint=_hint_for_path(name, registry))
    if registry.has("architecture", name.split(" ")[0]):
        raise UnknownName(f"unknown recipe {name!r}", hint=f"write separate words: `zoo train {name}`")


def _hint_for_path(path: str, registry: Registry, architecture: Entry[ArchitectureSpec] | None = None) -> str:
    """Return what to do with a path: resume a run, start from weights, or train on data."""
    if os.path.exists(os.path.join(path, "config.toml")):  # noqa: PTH110, PTH118
        return f"`zoo resume {shlex.quote(path)}` continues a run"
    name = architecture.spec.name if architecture else "ARCHITECTURE"
    if path.endswith(".safetensors"):
        return f"`zoo train {name} DATASET --from {shlex.quote(path)}` fine-tunes weights"
    ways = list[str]()
    for entry in registry.entries("dataset"):
        spec = entry.spec
        if not isinstance(spec, DatasetSpec) or len(spec.required) != 1:
            continue
        option = spec.required[0]
        fits = architecture is None or registry.serves(architecture, spec.task)
        if fits and (os.path.isdir(path) or option != "root"):  # noqa: PTH112
            ways.append(f"`zoo train {name} {spec.name} --data {shlex.quote(f'{option}={path}')}` reads it")
    return ", or ".join(ways) or "`zoo list datasets` shows what reads files"
