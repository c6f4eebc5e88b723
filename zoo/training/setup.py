"""Resolve a recipe: open its data, build its model, and check everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from zoo.config.recipe import Recipe
from zoo.config.training import TrainConfig
from zoo.data.opening import open_dataset
from zoo.errors import DataError, OptionError, WeightsError, warn
from zoo.interfaces import SPLITS, Dataset, FitsInputs, LoadsPretrained, Task, make_task
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import resolve
from zoo.models.transfer import Source, open_source
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec, TaskSpec
from zoo.seeds import seed_for
from zoo.training.checkpoint import CheckpointInfo, RunIdentity
from zoo.training.freezing import freeze, frozen_among

__all__ = ["TrainingSetup", "set_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """Everything that a recipe names, opened and built."""

    architecture: Entry[ArchitectureSpec]
    data: Entry[DatasetSpec]
    task: Task
    dataset: Dataset
    config: TrainConfig
    recipe: Recipe
    """The recipe with full names and every option written out."""
    arguments: dict[str, Any]
    """Every argument that `model` was built with."""
    model: nn.Module
    """With its initial weights: random, pretrained, or those of another model."""
    base_model: dict[str, str]
    """The weights that training starts from, as on a card."""

    @property
    def identity(self) -> RunIdentity:
        """What makes a run of this recipe the same run."""
        parts = (self.dataset.fingerprint, self.base_model.get("sha256"))
        return RunIdentity(
            recipe=self.recipe.to_dict(),
            fingerprint=" ".join(filter(None, parts)),
            base_model=self.base_model,
        )

    def check_batches(self) -> None:
        """Make a batch of each split; warn of scarce data. Raises DataError if there is none to train on."""
        first = next(self.task.train_batches(self.dataset, self.config, seed=0, epoch=0), None)
        if first is None:
            raise DataError("the training split is empty")
        if first.total == 1:
            warn(
                f"an epoch is a single step: batch_size={self.config.batch_size} takes the whole train split"
            )
        if not [name for name in SPLITS[1:] if next(self.task.eval_batches(self.dataset, name), None)]:
            warn("there is no val or test split: only the training loss is measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a new, a fine-tuned and a resumed run have in common."""

    registry: Registry
    recipe: Recipe
    architecture: Entry[ArchitectureSpec]
    data: Entry[DatasetSpec]
    spec: TaskSpec
    task: Task
    dataset: Dataset
    config: TrainConfig

    def build(self, options: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
        """Return the model and its arguments; the recipe's options override `options`."""
        given = {**options, **self.recipe.model}
        arguments = model_arguments(self.architecture, self.spec, self.dataset.dims, given)
        model = build_model(self.architecture, arguments, seed=seed_for(self.recipe.seed, "weights"))
        freeze(model, self.config.freeze)
        return model, arguments


def set_up(
    recipe: Recipe, registry: Registry, *, device: str, resumed: CheckpointInfo | None = None
) -> TrainingSetup:
    """Open the data and build the model.

    Args:
        resumed: the checkpoint of a run to continue. It holds the weights, so those that the run started
            from may be gone.

    Raises:
        ZooError: something in the recipe does not exist or does not fit; each subclass says what to do.
    """
    parts = _open(recipe, registry, device)
    if resumed is not None:
        start = _resumed(parts, resumed)
    elif recipe.from_weights:
        start = _from_weights(parts, _open_weights(parts))
    else:
        start = _fresh(parts)
    model, arguments, base_model = start
    if parts.config.freeze and resumed is None:
        sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
        trained = sum(size for size, gradient in sizes if gradient)
        warn(f"training {trained:,} of {sum(size for size, _ in sizes):,} parameters")
    options = {name: value for name, value in arguments.items() if name not in parts.spec.dims}
    return TrainingSetup(
        architecture=parts.architecture,
        data=parts.data,
        task=parts.task,
        dataset=parts.dataset,
        config=parts.config,
        recipe=replace(
            recipe,
            architecture=parts.architecture.name,
            dataset=parts.data.name,
            model=options,
            train=parts.config.to_dict(),
        ),
        arguments=arguments,
        model=model,
        base_model=base_model,
    )


def _open(recipe: Recipe, registry: Registry, device: str) -> _Parts:
    config = registry.training_config(recipe)
    config = config.replace({"precision": resolve(config.precision, device)})
    architecture, data = registry.architecture(recipe.architecture), registry.dataset(recipe.dataset)
    spec = registry.same_task(architecture, data)
    task = make_task(registry, spec.name)
    changed = config.changed()
    for name in task.unsupported:
        if name in changed:
            raise OptionError(f"{name} does not apply to {task.name}, which {architecture.name} is for")
    return _Parts(
        registry=registry,
        recipe=recipe,
        architecture=architecture,
        data=data,
        spec=spec,
        task=task,
        dataset=open_dataset(data, recipe.data),
        config=config,
    )


def _fresh(parts: _Parts) -> tuple[nn.Module, dict[str, Any], dict[str, str]]:
    """Return a model with its own initial weights."""
    model, arguments = parts.build({})
    if isinstance(model, FitsInputs):
        model.fit_inputs(_some_inputs(parts))
    base_model = dict(model.load_pretrained() or {}) if isinstance(model, LoadsPretrained) else {}
    if parts.config.freeze and not base_model:
        warn("freeze keeps random weights, since there are none to start --from")
    return model, arguments, base_model


def _open_weights(parts: _Parts) -> Source:
    """Open the weights that the recipe starts from."""
    path = parts.registry.find_weights(parts.recipe.from_weights)
    return open_source(path, parts.architecture, parts.registry)


def _from_weights(parts: _Parts, source: Source) -> tuple[nn.Module, dict[str, Any], dict[str, str]]:
    """Return a model with the options of another, and with its weights as far as they fit."""
    model, arguments = parts.build(source.options)
    copied, fresh = source.copy_into(model, arguments, parts.dataset.preprocess)
    frozen = frozen_among(fresh, parts.config.freeze)
    if frozen:
        patterns = ",".join(parts.config.freeze)
        raise OptionError(f"freeze={patterns} matches newly initialized tensors: {', '.join(frozen)}")
    new = f"; newly initialized: {', '.join(fresh)}" if fresh else ""
    card = source.card
    warn(f"starting from {len(copied)} tensors of a {card.architecture} trained on {card.dataset.name}{new}")
    return model, arguments, source.base_model


def _resumed(parts: _Parts, info: CheckpointInfo) -> tuple[nn.Module, dict[str, Any], dict[str, str]]:
    """Return a model whose weights will be restored from the checkpoint."""
    options: Mapping[str, Any] = {}
    base_model = info.identity.base_model
    if parts.recipe.from_weights:
        try:
            source = _open_weights(parts)
            options, base_model = source.options, source.base_model
        except (DataError, WeightsError):  # they are gone
            options = info.identity.recipe.get("model", {})
    model, arguments = parts.build(options)
    return model, arguments, base_model


def _some_inputs(parts: _Parts) -> Tensor:
    """Return a batch of the training split as the model sees it, without augmentation."""
    config = TrainConfig(batch_size=500)
    seed = seed_for(parts.recipe.seed, "fit")
    return next(parts.task.train_batches(parts.dataset, config, seed=seed, epoch=0)).inputs
