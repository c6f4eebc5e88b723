"""Build what a resolved recipe trains: open its data, make its model, and check everything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.config.arguments import is_url
from zoo.config.declarations import declared
from zoo.config.options import text
from zoo.config.recipe import Recipe
from zoo.config.signatures import refuse_unknown
from zoo.config.training import TrainConfig
from zoo.data.opening import (
    decidable,
    open_dataset,
    options_to_fine_tune,
    require_fingerprint,
    require_splits,
)
from zoo.data.views import normalized_as
from zoo.errors import DataError, OptionError, warn
from zoo.files.cards import too_large
from zoo.interfaces import SPLITS, CarriesState, Dataset, FitsInputs, LoadsPretrained, Task, make_task
from zoo.models import precision
from zoo.models.building import build_model, drawing_from, model_arguments
from zoo.models.hooks import evaluating
from zoo.models.transfer import Source, open_source
from zoo.models.weights import require_loadable, require_storable
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec
from zoo.runs.resolving import Resolved
from zoo.seeds import seed_for
from zoo.training.defaults import CLOSE, FEWEST_STEPS, SMALLEST_BATCH, fine_tuning, from_scratch
from zoo.training.freezing import freeze, frozen_among
from zoo.training.saved import CheckpointInfo, RunIdentity

__all__ = ["TrainingSetup", "build"]

# Bytes, and values, of a card for what is known only after the training
_FOR_METRICS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """Everything that a recipe names, opened and built.

    Attributes:
        recipe: the recipe with full names and every option written out.
        arguments: every argument that `model` was built with.
        context: most tokens that `model` reads from an empty state on; 0 is any.
        model: with its initial weights: random, pretrained, or those of another model.
        base_model: the weights that training starts from, as on a card.
        device: where it is trained.
    """

    architecture: Entry[ArchitectureSpec]
    data: Entry[DatasetSpec]
    task: Task
    dataset: Dataset
    config: TrainConfig
    recipe: Recipe
    arguments: dict[str, Any]
    context: int
    model: nn.Module
    base_model: dict[str, str]
    device: str

    @property
    def title(self) -> str:
        """What is trained on what, for a figure."""
        return f"{self.architecture.name} on {self.data.name}"

    @property
    def parts(self) -> tuple[nn.Module, Task, Dataset, TrainConfig]:
        """What `fit` trains, with what and how."""
        return self.model, self.task, self.dataset, self.config

    @property
    def identity(self) -> RunIdentity:
        """What makes a run of this recipe the same run."""
        fingerprint = f"{self.dataset.fingerprint} {self.base_model.get('sha256', '')}".strip()
        return RunIdentity(
            recipe=self.recipe,
            fingerprint=fingerprint,
            base_model=self.base_model,
            cpu=torch.backends.cpu.get_cpu_capability(),
        )

    def check_batches(self, processes: int = 1) -> None:
        """Make a batch of each split; warn of scarce data.

        Raises DataError if there is none to train on, and OptionError if a batch is too small for so many
        processes.
        """
        size = self.config.batch_size
        if size < processes:
            message = f"batch_size={size} is too small for {processes} processes: each takes part of a batch"
            raise OptionError(message)
        steps = _steps(self.task, self.dataset, self.config)
        if not steps:
            raise DataError("the training split is empty")
        if steps < FEWEST_STEPS:
            only = f"only {steps} steps" if steps > 1 else "a single step"
            smaller = f"a smaller batch_size than {size}, or " if size > SMALLEST_BATCH else ""
            warn(f"an epoch has {only}: use {smaller}more data")
        if not [name for name in SPLITS[1:] if next(self.task.eval_batches(self.dataset, name), None)]:
            warn("there is no val or test split: only the training loss is measured")


def build(
    resolved: Resolved, registry: Registry, *, device: str, resumed: CheckpointInfo | None = None
) -> TrainingSetup:
    """Open the data, build the model, and decide once what depends on either, or on the device.

    Args:
        resumed: the checkpoint of a run to continue, which holds the weights, and what the run took from
            those that it started from.

    Raises:
        ZooError: something in the recipe does not fit; each subclass says what to do.
    """
    architecture, data = resolved.architecture, resolved.data
    task = make_task(registry, resolved.task.name)
    recipe = replace(resolved.recipe, data=_typed(data, resolved.recipe.data))
    source = None
    if resumed is not None:
        recipe = _completed(recipe, data, resumed.identity.recipe)
    elif base := resolved.base:
        source = open_source(base.path, base.card, base.content, architecture, registry)
        needed = options_to_fine_tune(data, source.card, task, recipe.data)
        recipe = replace(recipe, model={**source.options, **recipe.model}, data={**recipe.data, **needed})
    known = declared(architecture.load()).keys() - resolved.task.dims.keys()
    refuse_unknown(recipe.model, known, what=f"architecture {architecture.name}")  # before data is opened
    dataset = open_dataset(data, recipe.data)
    require_splits(data, dataset)
    require_fingerprint(data, dataset)
    _require_writable(data.name, recipe.to_dict(), dataset.preprocess)
    arguments = model_arguments(architecture, resolved.task, dataset.dims, recipe.model)
    dataset = _fed(dataset, task, resolved, arguments)
    context = architecture.spec.context(arguments)
    settled = replace(resolved, recipe=recipe)
    config = _training_config(settled, registry, task, dataset, source, context)
    config = config.replace({"precision": precision.resolve(config.precision, device)})
    model = build_model(architecture, arguments, seed=seed_for(recipe.seed, "weights"))
    require_storable(model, architecture)
    require_loadable(model, architecture, arguments)
    freeze(model, config.freeze)
    base_model: dict[str, str] = {}
    if resumed is not None:
        base_model = resumed.identity.base_model
    elif source is not None:
        base_model = source.base_model
        _copy_weights(source, model, task, dataset, arguments, config)
    else:
        base_model = _fit_or_load(model, task, dataset, recipe.seed)
    recipe = replace(
        recipe,
        architecture=architecture.name,
        dataset=data.name,
        model={name: value for name, value in arguments.items() if name not in resolved.task.dims},
        train=config.to_dict(),
    )
    if resumed is None:
        _warn_of_what_is_frozen(model, config, base_model)
        _warn_of_what_was_chosen(resolved, recipe)
    return TrainingSetup(
        architecture=architecture,
        data=data,
        task=task,
        dataset=dataset,
        config=config,
        recipe=recipe,
        arguments=arguments,
        context=context,
        model=model,
        device=device,
        base_model=base_model,
    )


def _typed(entry: Entry[DatasetSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset's options as a run records them: of the right types, the folder as a full path."""
    checked = entry.check({**entry.spec.config, **given}, flag="--data")
    root = checked.get("root")
    if isinstance(root, str) and not is_url(root):
        checked["root"] = str(Path(root).expanduser().absolute())
    return {name: value for name, value in checked.items() if name in given}


def _fed(dataset: Dataset, task: Task, resolved: Resolved, arguments: Mapping[str, Any]) -> Dataset:
    """Return data normalized as that which the pretrained weights were trained on, if there are any.

    Raises DataError if no weights trained on this data could be loaded, since it is fed in no known way.
    """
    try:
        task.processor.check_feeding(dataset.preprocess, arguments)
    except OptionError as error:
        raise DataError(f"{resolved.data.name} does not say how to feed a model: {error}") from None
    weights = resolved.architecture.spec.starts_from(arguments)
    if weights is None or not weights.mean:
        return dataset
    what = f"{resolved.architecture.name} with pretrained={arguments['pretrained']}"
    return normalized_as(dataset, weights.mean, weights.std, what=what)


def _require_writable(data: str, *names: Any) -> None:
    """Raise DataError if no weights could hold a name, such as that of a class or a file, or all of them.

    Args:
        data: the name of the dataset.
        names: JSON data with the names anywhere in it.
    """
    card = json.dumps(names, ensure_ascii=False, default=str, separators=(",", ":"))
    strange = re.search(r'"[^"]*[\ud800-\udfff][^"]*"', card)
    if strange:
        hint = "rename the file or folder: neither weights nor config.toml can hold its name"
        raise DataError(f"{strange[0][1:-1]!a} is not a name in UTF-8", hint=hint)
    if too_large(card + "," * _FOR_METRICS):
        size = f"{len(card.encode()):,} bytes, or too many values"
        message = f"weights trained on {data} could not be loaded: their card has {size}"
        raise DataError(message, hint="use a smaller vocabulary, or fewer classes")


def _completed(recipe: Recipe, data: Entry[DatasetSpec], run: Recipe) -> Recipe:
    """Return a recipe to continue a run with: what it does not say of a fine-tuning is as in the run.

    The weights that the run started from may be gone, or others by now.
    """
    if not recipe.from_weights:
        return recipe
    if recipe.from_weights != run.from_weights:
        started = f"from {run.from_weights}" if run.from_weights else "from random weights"
        warn(f"the run started {started}, and continues: --from {recipe.from_weights} has no effect")
    safe = decidable(data)
    theirs = {name: value for name, value in run.data.items() if name in safe}
    return replace(
        recipe,
        model={**run.model, **recipe.model},
        data={**theirs, **recipe.data},
        train={**run.train, **recipe.train},
    )


def _training_config(
    resolved: Resolved,
    registry: Registry,
    task: Task,
    dataset: Dataset,
    source: Source | None,
    context: int,
) -> TrainConfig:
    """Return the training configuration: what the recipe says, and for the rest what suits data and model."""
    architecture, said = resolved.architecture, resolved.recipe.train
    usual = _within(context, resolved.usual, said, task, architecture)

    def steps(config: TrainConfig) -> int:
        try:
            return _steps(task, dataset, config)
        except DataError:  # a text too short for so many lanes
            return 0

    if source is None:
        return from_scratch(usual, said, steps)
    theirs, again = source.card.training, bool(source.card.base_model)
    close, cutting = _close(source, task, dataset), registry.cutting_fields()
    config = fine_tuning(theirs, usual, said, steps, again=again, close=close, cutting=cutting)
    return _within(context, config, said, task, architecture)


def _within(
    context: int,
    config: TrainConfig,
    said: Mapping[str, Any],
    task: Task,
    architecture: Entry[ArchitectureSpec],
) -> TrainConfig:
    """Return a configuration none of whose batches is longer than `context` tokens, if it is not 0.

    Raises OptionError if the recipe says that they are.
    """
    changes = task.within(config.replace(said), context) if context else {}
    for name, value in changes.items():
        if name in said and said[name] != value:
            option, flag = architecture.spec.context_length, name.replace("_", "-")
            bound = f"{context:,} tokens that {architecture.name} reads at once"
            bound += f" ({option}={context})" if isinstance(option, str) else ""
            hint = f"try --no-{flag}" if value is False else f"try --{flag} {text(value)}"
            raise OptionError(f"{name}={text(said[name])} makes batches of more than the {bound}", hint=hint)
    return config.replace(changes)


def _close(source: Source, task: Task, dataset: Dataset) -> bool:
    """Return whether weights predict a batch of the training data well before they are trained on it.

    Language models never count as close: a new text usually has a new vocabulary.
    """
    if source.task.name != task.name or isinstance(task, CarriesState):
        return False
    few = TrainConfig(batch_size=128)  # not augmented
    try:
        batch = next(task.train_batches(task.feed(dataset, source.card), few, seed=0, epoch=0))
    except (DataError, StopIteration):  # other classes, or images of another size; or no data
        return False
    with torch.inference_mode(), evaluating(source.model):
        step = task.step(source.model, batch)
    chance = task.chance(source.card.preprocess).get("loss", 0.0)
    return float(step.sums["loss"]) / step.count < CLOSE * chance


def _steps(task: Task, dataset: Dataset, config: TrainConfig) -> int:
    """Return the optimizer steps in an epoch. Raises DataError if the data does not fit the configuration."""
    first = next(task.train_batches(dataset, config, seed=0, epoch=0), None)
    return math.ceil(first.total / config.grad_accum_steps) if first else 0


def _copy_weights(
    source: Source,
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    arguments: Mapping[str, Any],
    config: TrainConfig,
) -> None:
    """Start a model from other weights. Raises OptionError if it would freeze what those do not have."""
    copied, fresh = source.copy_into(model, task, arguments, dataset.preprocess)
    if frozen := frozen_among(fresh, config.freeze):
        patterns = ",".join(config.freeze)
        raise OptionError(f"freeze={patterns} matches newly initialized tensors: {', '.join(frozen)}")
    new = f"; newly initialized: {', '.join(fresh)}" if fresh else ""
    theirs = f"{source.card.architecture} trained on {source.card.dataset.name}"
    warn(f"starting from {len(copied)} tensors of a {theirs}{new}")


def _fit_or_load(model: nn.Module, task: Task, dataset: Dataset, seed: int) -> dict[str, str]:
    """Let a model fit its first layers to the data, or load weights, if it can; return what those are."""
    seed = seed_for(seed, "fit")
    if isinstance(model, FitsInputs):
        few = TrainConfig(batch_size=500)  # not augmented
        inputs = next(task.train_batches(dataset, few, seed=seed, epoch=0)).inputs
        with drawing_from(seed):
            model.fit_inputs(inputs)
    if isinstance(model, LoadsPretrained):
        with drawing_from(seed):
            return dict(model.load_pretrained() or {})
    return {}


def _warn_of_what_is_frozen(model: nn.Module, config: TrainConfig, base_model: Mapping[str, str]) -> None:
    if not config.freeze:
        return
    if not base_model:
        warn("freeze keeps random weights, since there are none to start --from")
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    trained = sum(size for size, gradient in sizes if gradient)
    warn(f"training {trained:,} of {sum(size for size, _ in sizes):,} parameters")


def _warn_of_what_was_chosen(resolved: Resolved, recipe: Recipe) -> None:
    """Warn of the options that neither the recipe nor the architecture's training configuration says."""
    given, before = resolved.recipe, resolved.config.to_dict()
    main = ("epochs", "batch_size", "lr") if given.from_weights else ()
    chosen = {name: value for name, value in recipe.data.items() if name not in given.data}
    chosen |= {
        name: value
        for name, value in recipe.train.items()
        if name not in given.train and name != "precision" and (name in main or value != before[name])
    }
    if chosen:
        listed = ", ".join(f"{name}={text(value)}" for name, value in chosen.items())
        warn(f"chosen for {'fine-tuning' if given.from_weights else 'this data'}: {listed}; each can be set")
