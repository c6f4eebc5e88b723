"""From an experiment's names and options to what is trained, all of it checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from zoo.errors import OptionError, WeightsError
from zoo.interfaces import Dataset, Task
from zoo.models import weights
from zoo.models.building import build_model, check_same_task, model_arguments, open_dataset
from zoo.models.transfer import Source, open_source
from zoo.registry.catalog import Catalog
from zoo.registry.experiment import Experiment
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec, Recipe
from zoo.seeds import seed_for
from zoo.tasks import make_task
from zoo.training.directory import Begun
from zoo.training.freezing import freeze, frozen_among

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What an experiment stands for."""

    architecture: Entry[ArchitectureSpec]
    data: Entry[DatasetSpec]
    task: Task
    dataset: Dataset
    recipe: Recipe
    arguments: dict[str, Any]
    """Every argument `model` was built with."""
    model: nn.Module
    """With its first weights: drawn from the seed, published, or another training's."""
    start: dict[str, str]
    """What a card says of the weights it starts from."""


def prepare(
    experiment: Experiment,
    registry: Registry,
    *,
    begun: Begun | None = None,
    notice: Callable[[str], None],
) -> Prepared:
    """Open the data and build the model. A model that starts from a file has that file's options.

    Args:
        begun: what a run was that goes on. Its weights come from its checkpoint: those that it started from
            need not be there any more.

    Raises:
        ZooError: see `zoo.errors`; each says what to do.
    """
    architecture = registry.architecture(experiment.architecture)
    data = registry.dataset(experiment.dataset)
    recipe = experiment.recipe(registry)
    task = make_task(check_same_task(architecture, data))
    for name in ("augment", "mixup"):
        if getattr(recipe, name) and task.name != "classification":
            raise OptionError(f"{name} is for images, and {architecture.name} does {task.name}")
    dataset = open_dataset(data, experiment.data)
    source = _source(experiment.start, architecture, registry, begun) if experiment.start else None
    options: dict[str, Any] = {}
    start: dict[str, str] = {}
    if source is not None:
        options, start = source.options, source.origin
    elif experiment.start and begun is not None:
        options, start = begun.model, begun.start
    arguments = model_arguments(architecture, dataset.dims, options | experiment.model)
    model = build_model(architecture, arguments, seed=seed_for(experiment.seed, "weights"))
    freeze(model, recipe.freeze)
    if begun is not None:
        start = start or begun.start
    elif source is not None:
        notice(_copied(source, model, arguments, dataset, recipe))
    else:
        if fit := getattr(model, "fit_inputs", None):
            fit(_some_inputs(task, dataset, seed_for(experiment.seed, "fit")))
        if pretrain := getattr(model, "load_pretrained", None):
            start = pretrain()
        elif recipe.freeze:
            notice("freeze keeps weights that are random: nothing was given to start --from")
    if recipe.freeze and begun is None:
        sizes = [(each.numel(), each.requires_grad) for each in model.parameters()]
        trained = sum(size for size, gradient in sizes if gradient)
        notice(f"{trained:,} of {sum(size for size, _ in sizes):,} parameters are trained")
    return Prepared(
        architecture=architecture,
        data=data,
        task=task,
        dataset=dataset,
        recipe=recipe,
        arguments=arguments,
        model=model,
        start=start,
    )


def _source(
    name: str, architecture: Entry[ArchitectureSpec], registry: Registry, begun: Begun | None
) -> Source | None:
    try:
        path = weights.find(name, Catalog.load())
    except WeightsError:
        if begun is not None:
            return None
        raise
    return open_source(path, architecture, registry)


def _some_inputs(task: Task, dataset: Dataset, seed: int) -> Tensor:
    """Return a batch drawn from the training split, as the model sees it but for augmentations."""
    return next(task.train_batches(dataset, Recipe(batch_size=500), seed=seed, epoch=0)).inputs


def _copied(
    source: Source, model: nn.Module, arguments: dict[str, Any], dataset: Dataset, recipe: Recipe
) -> str:
    """Copy what fits into a model and tell what that was. Raises OptionError for what is frozen and new."""
    kept, fresh = source.copy_into(model, arguments, dataset.preprocess)
    still = frozen_among(fresh, recipe.freeze)
    if still:
        raise OptionError(f"freeze={','.join(recipe.freeze)} holds {', '.join(still)}, which start anew")
    new = f"; new: {', '.join(fresh)}" if fresh else ""
    origin = f"a {source.card.architecture} trained on {source.card.dataset.name}"
    return f"starting from {len(kept)} tensors of {origin}{new}"
