"""The words by which `zoo train` and `zoo lr-find` name what to train."""

from __future__ import annotations

from collections.abc import Iterable

import click

from zoo.cli.session import Session
from zoo.config import options
from zoo.errors import UnknownName
from zoo.registry.experiment import Experiment
from zoo.registry.plugins import Kind
from zoo.registry.registry import Registry

__all__ = ["experiment_of"]


def experiment_of(
    session: Session,
    name: str,
    dataset: str | None,
    *,
    model: Iterable[str],
    data: Iterable[str],
    train: Iterable[str],
    start: str | None,
    seed: int | None,
) -> Experiment:
    """Return a recipe, or an architecture on a dataset, with `key=value` words and a seed laid over it.

    Raises UnknownName, OptionError; torch is not loaded for that.
    """
    experiment = _named(session, name, dataset)
    experiment = Experiment(
        architecture=experiment.architecture,
        dataset=experiment.dataset,
        model=experiment.model | options.parse(model, what="--model"),
        data=experiment.data | options.parse(data, what="--data"),
        train=experiment.train | options.parse(train, what="--train"),
        start=experiment.start if start is None else start,
        seed=experiment.seed if seed is None else seed,
    )
    experiment.recipe(session.registry)
    return experiment


def _named(session: Session, name: str, dataset: str | None) -> Experiment:
    command = f"zoo {click.get_current_context().info_name}"
    if dataset is not None:
        _refuse_swapped(session.registry, name, dataset, command)
        architecture = session.registry.architecture(name)
        return Experiment(architecture=architecture.name, dataset=session.registry.dataset(dataset).name)
    try:
        return Experiment.of(session.catalog.recipe(name))
    except UnknownName:
        if any(name in (entry.name, entry.spec.name) for entry in session.registry.entries("architecture")):
            raise UnknownName(
                f"{name} is an architecture; name a dataset too: {command} {name} DATASET",
                hint="`zoo list dataset` shows them",
            ) from None
        raise


def _refuse_swapped(registry: Registry, name: str, dataset: str, command: str) -> None:
    def has(kind: Kind, word: str) -> bool:
        return any(word in (entry.name, entry.spec.name) for entry in registry.entries(kind))

    if has("dataset", name) and has("architecture", dataset):
        raise UnknownName(f"the architecture comes first: {command} {dataset} {name}")
