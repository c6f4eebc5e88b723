"""Trainings of a recipe, as `zoo.train` does them, and what they train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from zoo.config.recipe import Recipe
from zoo.evaluation.evaluate import measure_split, with_recorded
from zoo.files.cards import Card
from zoo.models.module_runner import runner_of
from zoo.registry.registry import Registry
from zoo.runs.lifecycle import train as train_resolved
from zoo.runs.resolving import resolve_recipe
from zoo.runs.result import Result
from zoo.runs.setup import TrainingSetup, build


def train(
    recipe: Recipe, registry: Registry, *, directory: str | Path, resume: bool = False, **how: Any
) -> Result:
    """Train a recipe in a directory, or continue the run that is there."""
    continued = resume and (Path(directory) / "checkpoint.safetensors").exists()
    resolved = resolve_recipe(recipe, registry, resume=continued)
    result = train_resolved(resolved, registry, directory=directory, resume=resume, **how)
    assert result is not None, "it stopped early"
    return result


def evaluated(
    model: nn.Module,
    card: Card,
    registry: Registry,
    *,
    device: str = "cpu",
    metrics: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """Evaluate a model, as `zoo.Model.evaluate` does."""
    runner, metrics = runner_of(model, card, registry, device=device), with_recorded(card, registry, metrics)
    return measure_split(runner, card, registry, metrics=metrics, **options).to_dict()


def set_up(recipe: Recipe, registry: Registry, **how: Any) -> TrainingSetup:
    """Open the data of a recipe, and build its model."""
    return build(resolve_recipe(recipe, registry), registry, **how)
