"""From an experiment's names and options to what is trained, all of it checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from zoo import weights
from zoo.building import build_model, check_same_task, model_arguments, open_dataset
from zoo.catalog import Catalog
from zoo.experiment import Experiment
from zoo.interfaces import Dataset, Task
from zoo.registry import Entry, Registry
from zoo.seeds import seed_for
from zoo.specs import ArchitectureSpec, DatasetSpec, Recipe
from zoo.tasks import make_task
from zoo.training.freezing import freeze
from zoo.transfer import adopt, options_of

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


def prepare(experiment: Experiment, registry: Registry, *, notice: Callable[[str], None]) -> Prepared:
    """Open the data and build the model. A model that starts from a file has that file's options.

    Raises:
        ZooError: see `zoo.errors`; each says what to do.
    """
    architecture = registry.architecture(experiment.architecture)
    data = registry.dataset(experiment.dataset)
    recipe = experiment.recipe(registry)
    task = make_task(check_same_task(architecture, data))
    dataset = open_dataset(data, experiment.data)
    source = weights.find(experiment.start, Catalog.load()) if experiment.start else None
    options = experiment.model if source is None else options_of(source, architecture) | experiment.model
    arguments = model_arguments(architecture, dataset.dims, options)
    model = build_model(architecture, arguments, seed=seed_for(experiment.seed, "weights"))
    freeze(model, recipe.freeze)
    start: dict[str, str] = {}
    if source is not None:
        adopted = adopt(model, source, architecture, arguments, dataset.preprocess, registry)
        start = adopted.origin
        notice(adopted.told())
    elif pretrain := getattr(model, "load_pretrained", None):
        pretrain()
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
