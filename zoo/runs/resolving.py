"""Resolve the names of a recipe, or of an architecture and a dataset. Does not import torch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.config.arguments import checked, is_url
from zoo.config.declarations import declared
from zoo.config.keywords import refuse_missing
from zoo.config.layers import FINE_TUNING, RECIPE, Layer, Layers, blaming
from zoo.config.near_names import did_you_mean
from zoo.config.options import text
from zoo.config.recipe import Recipe
from zoo.config.threads import require_threads
from zoo.config.train_config import TrainConfig, merged
from zoo.data.tables import TABLES
from zoo.errors import CatalogError, DataError, OptionError, SpecError, UnknownName, warn
from zoo.files import run_files
from zoo.files.cards import Card, read_weights
from zoo.files.container import Container
from zoo.registry import remotes
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec, TaskSpec
from zoo.registry.weights_files import locate_weights, warn_if_unfinished

# Training options for fine-tuning, besides those that depend on the data; see `zoo.training.defaults`
_FINE_TUNED = {"schedule": "one-cycle", "clip_grad_norm": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWeights:
    """The weights to start from, read only once, so that no unchecked content is loaded."""

    path: Path
    card: Card
    content: Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A recipe whose names exist and whose training options are valid.

    Attributes:
        task: the task to train for, which is the dataset's task.
        layers: the training options that are known before the data.
        config: the training configuration of these options.
        base: the weights to start from; None for random weights or a resumed run.
        source: what the messages of errors call the recipe.
        given: the options that the user sets, as in `with_options`; `recipe` contains them, too.
    """

    recipe: Recipe
    architecture: Entry[ArchitectureSpec]
    data: Entry[DatasetSpec]
    task: TaskSpec
    layers: Layers
    config: TrainConfig
    base: BaseWeights | None
    source: str = RECIPE
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])


def resolve(
    name: str | Recipe,
    dataset: str | None,
    registry: Registry,
    *,
    resume: bool = False,
    architecture: str | None = None,
    **options: Any,
) -> Resolved:
    """Resolve a recipe, or an architecture on a dataset, with options that override it.

    Args:
        architecture: as in `with_architecture`, if it is not None.
        options: as in `with_options`.

    Raises the same errors as `resolve_recipe`.
    """
    recipe = name if isinstance(name, Recipe) else named_recipe(name, dataset, registry)
    if architecture is not None:
        if dataset is not None:
            message = f"architecture={architecture} replaces the architecture of a recipe"
            raise OptionError(message, hint=f"omit it, or replace {name} {dataset} with a recipe")
        recipe = with_architecture(recipe, registry, architecture)
    source = f"recipe {name}" if dataset is None and isinstance(name, str) else RECIPE
    recipe = with_options(recipe, **options)
    return resolve_recipe(recipe, registry, resume=resume, source=source, given=options)


@checked
def with_architecture(recipe: Recipe, registry: Registry, architecture: str) -> Recipe:
    """Return a recipe with a different architecture. Imports torch if the recipe sets architecture options.

    These options are kept if the new architecture has them, with a warning about the others. The summary is
    dropped, since it describes the recipe's own architecture.

    Raises UnknownName, AmbiguousName or SpecError for an architecture that cannot be found or imported.
    """
    entry = registry.architecture(architecture)
    known = declared(entry.load()) if recipe.model else {}
    dropped = ", ".join(f"{key}={text(value)}" for key, value in recipe.model.items() if key not in known)
    if dropped:
        warn(f"omitted options of the recipe that {entry.name} does not have: {dropped}")
    kept = {key: value for key, value in recipe.model.items() if key in known}
    return replace(recipe, architecture=entry.name, model=kept, summary="")


@checked
def with_options(
    recipe: Recipe,
    *,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    from_weights: str | Path | None = None,
    seed: int | None = None,
    threads: int | None = None,
    **fields: Any,
) -> Recipe:
    """Return a recipe with overridden options; `fields` are training options. Raises OptionError."""
    if isinstance(from_weights, Path):  # as text, a bare word would be an id
        from_weights = f"{'' if from_weights.is_absolute() else './'}{from_weights}"
    return replace(
        recipe,
        model={**recipe.model, **(model or {})},
        data={**recipe.data, **(data or {})},
        train=merged(recipe.train, fields),
        from_weights=recipe.from_weights if from_weights is None else from_weights,
        seed=recipe.seed if seed is None else seed,
        threads=recipe.threads if threads is None else threads,
    )


def resolve_recipe(
    recipe: Recipe,
    registry: Registry,
    *,
    resume: bool = False,
    source: str = RECIPE,
    given: Mapping[str, Any] | None = None,
) -> Resolved:
    """Look up all names in a recipe, without importing torch or loading data.

    Args:
        resume: whether a run is resumed; its initial weights are then no longer needed.
        source: what the messages of errors call the recipe.
        given: the options that the user sets, which `recipe` contains, too.

    Raises:
        UnknownName, AmbiguousName: an architecture, dataset or weights id is unknown or ambiguous.
        OptionError: a training option is unknown, is out of range or belongs to another task, or there are
            too many threads.
        DataError: the data folder does not exist, or published weights are damaged or missing.
        SpecError: the architecture is not compatible with the data or with the weights to start from.
        WeightsError: the weights to start from are missing or damaged.
    """
    with blaming(source):
        architecture, data = registry.architecture(recipe.architecture), registry.dataset(recipe.dataset)
        task = registry.shared_task(architecture, data)
    recipe = replace(recipe, architecture=architecture.name, dataset=data.name)
    given = given or {}
    training = {name: value for name, value in given.items() if name in recipe.train}
    layers = registry.layers(recipe, source=source, given=training)
    with blaming(source):
        require_threads(recipe.threads)
        _require_data(data, recipe.data)
        base = None if resume else _base_weights(recipe, registry, architecture)
    if base is not None:
        layers = _inherited(layers, base, recipe.from_weights)
    return Resolved(
        recipe=recipe,
        architecture=architecture,
        data=data,
        task=task,
        layers=layers,
        config=layers.config(),
        base=base,
        source=source,
        given=given,
    )


def _inherited(layers: Layers, base: BaseWeights, name: str) -> Layers:
    """Return training options for fine-tuning: those of the weights that suit the model.

    The architecture's own options suit training from random weights. Only those of groups remain, such as
    augmentation, which suit the amount of data: the weights may have seen more of it.
    """
    usual = layers.suggestions
    theirs = {key: value for key, value in base.card.training.items() if key in layers.known}
    if layers.gives("optimizer") and theirs.get("optimizer") != usual["optimizer"]:
        of_optimizer = {"optimizer", "optimizer_options", "lr", "lr_scales"}
        of_optimizer |= {key for key, option in layers.known.items() if option.read_by == "optimizer"}
        theirs = {key: value for key, value in theirs.items() if key not in of_optimizer}
    theirs = merged({key: usual[key] for key in layers.known}, theirs)
    kept = [key for key, option in layers.known.items() if option.inherited] + ["batch_size", "lr"]
    groups = tuple(
        Layer(source, {key: value for key, value in values.items() if layers.known[key].group})
        for source, values in layers.suggested
    )
    weights = {key: theirs[key] for key in kept if key in theirs}
    layers = replace(layers, suggested=groups).suggest(f"weights {name}", weights)
    return layers.suggest(FINE_TUNING, _FINE_TUNED)


def _require_data(data: Entry[DatasetSpec], given: Mapping[str, Any]) -> None:
    """Raise OptionError for a missing required option, and DataError if `root` is not a folder."""
    options = {**data.spec.config, **given}
    missing = {*data.spec.required} - options.keys()
    if any(did_you_mean(name, missing) for name in given):
        data.check(options, flag="--data")  # an option that is misspelled
    refuse_missing(options, data.spec.required, what=f"dataset {data.name}", flag="--data")
    root = options.get("root")
    if isinstance(root, str) and root and not is_url(root) and not Path(root).expanduser().is_dir():
        wrong = f"{root!r} is not a folder" if Path(root).exists() else f"folder {root!r} does not exist"
        hint = f"see `zoo show {data.name}`"
        if root.lower().endswith(TABLES):
            hint = "root is the folder of the data; a table in it that lists the images is called labels.csv"
        raise DataError(wrong, hint=hint)


def _base_weights(
    recipe: Recipe, registry: Registry, architecture: Entry[ArchitectureSpec]
) -> BaseWeights | None:
    """Return the weights that a recipe starts from, after a check of their architecture, or None."""
    if not recipe.from_weights:
        return None
    path, sha256 = locate_weights(registry, recipe.from_weights)
    card, content = read_weights(path, sha256=sha256)
    if card.architecture != architecture.name:
        command = f"zoo train {card.architecture} DATASET --from {shlex.quote(str(path))}"
        hint = f"train the same architecture: `{command}`"
        message = f"{path} contains {card.architecture} weights, but the model is {architecture.name}"
        raise SpecError(message, hint=hint)
    warn_if_unfinished(recipe.from_weights, path, card.progress)
    return BaseWeights(path=path, card=card, content=content)


def named_recipe(name: str, dataset: str | None, registry: Registry) -> Recipe:
    """Return a recipe by name, or a new one for an architecture and a dataset.

    Raises UnknownName or AmbiguousName if a recipe, architecture or dataset is unknown or ambiguous.
    """
    if dataset is not None:
        is_recipe = registry.has("recipe", name) and not registry.has("architecture", name)
        if not registry.has("dataset", dataset) and os.path.exists(dataset):  # noqa: PTH110
            hint = _hint_for_path(dataset, registry, None if is_recipe else registry.architecture(name))
            raise UnknownName(f"{dataset} is a path, not a dataset", hint=hint)
        if is_recipe:
            raise UnknownName(
                f"{name} is a recipe, which already includes a dataset",
                hint=f"omit {dataset}, or replace {name} with an architecture",
            )
        swapped = registry.has("dataset", name) and registry.has("architecture", dataset)
        if swapped and not (registry.has("architecture", name) and registry.has("dataset", dataset)):
            raise UnknownName(f"the architecture comes first: {dataset} {name}")
        architecture = registry.architecture(name)
        return Recipe(architecture=architecture.name, dataset=registry.dataset(dataset).name)
    if (of_zoo := remotes.find(name)) is not None:
        return _without_paths(name, of_zoo[1], registry)
    if not registry.has("recipe", name):
        _refuse_alone(name, registry)
    return registry.recipe(name)


def _without_paths(name: str, recipe: Recipe, registry: Registry) -> Recipe:
    """Return the recipe of a zoo's weights. Raises CatalogError if it sets more than a card may set."""
    from zoo.data.opening import local_options  # imports torch

    refused = [*local_options(registry.dataset(recipe.dataset), recipe.data)]
    if registry.architecture(recipe.architecture).spec.pretrained_file(recipe.model):
        refused.append("pretrained")
    if refused:
        raise CatalogError(f"the recipe of {name} sets {', '.join(refused)}, which only the user may set")
    return recipe


def _refuse_alone(name: str, registry: Registry) -> None:
    """Raise UnknownName if a name refers to something other than a recipe."""
    if registry.has("dataset", name):
        raise UnknownName(
            f"the dataset {name} requires an architecture: ARCHITECTURE {name}",
            hint="see `zoo list architectures`",
        )
    if registry.has("architecture", name):
        raise UnknownName(
            f"the architecture {name} requires a dataset: {name} DATASET",
            hint="see `zoo list datasets`",
        )
    if os.path.exists(name):  # noqa: PTH110
        raise UnknownName(f"{name} is a path, not a recipe", hint=_hint_for_path(name, registry))
    if registry.has("architecture", name.split(" ")[0]):
        raise UnknownName(f"unknown recipe {name!r}", hint=f"pass the names separately: `zoo train {name}`")


def _hint_for_path(path: str, registry: Registry, architecture: Entry[ArchitectureSpec] | None = None) -> str:
    """Return the hint for a path: resume a run, start from weights, or train on data."""
    if os.path.exists(os.path.join(path, run_files.CONFIG)):  # noqa: PTH110, PTH118
        return f"`zoo resume {shlex.quote(path)}` continues this run"
    name = architecture.spec.name if architecture else "ARCHITECTURE"
    if path.endswith(".safetensors"):
        return f"`zoo train {name} DATASET --from {shlex.quote(path)}` fine-tunes these weights"
    ways = list[str]()
    for entry in registry.entries("dataset"):
        spec = entry.spec
        if not isinstance(spec, DatasetSpec) or len(spec.required) != 1:
            continue
        option = spec.required[0]
        fits = architecture is None or registry.serves(architecture, spec.task)
        if fits and (os.path.isdir(path) or option != "root"):  # noqa: PTH112
            ways.append(f"`zoo train {name} {spec.name} --data {shlex.quote(f'{option}={path}')}` uses it")
    return ", or ".join(ways) or "`zoo list datasets` lists the datasets that read files"
