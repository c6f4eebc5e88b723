"""The hooks that a plugin can implement. Each hook only returns specs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import pluggy

from zoo.config.recipe import Recipe
from zoo.registry.published import WeightsSpec
from zoo.registry.specs import (
    AnalyzerSpec,
    ArchitectureSpec,
    AugmentationSpec,
    CommandSpec,
    DatasetSpec,
    ExporterSpec,
    FieldsSpec,
    MetricSpec,
    OptimizerSpec,
    ScheduleSpec,
    Spec,
    TaskSpec,
    TokenizerSpec,
    TrackerSpec,
)

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")

Kind = Literal[
    "architecture",
    "dataset",
    "analyzer",
    "task",
    "group",
    "optimizer",
    "schedule",
    "augmentation",
    "metric",
    "tokenizer",
    "command",
    "exporter",
    "tracker",
]

# The hooks that return lists of specs, with the kind and the type of what they return
HOOKS: tuple[tuple[str, Kind, type[Spec]], ...] = (
    ("zoo_architectures", "architecture", ArchitectureSpec),
    ("zoo_datasets", "dataset", DatasetSpec),
    ("zoo_analyzers", "analyzer", AnalyzerSpec),
    ("zoo_tasks", "task", TaskSpec),
    ("zoo_training_options", "group", FieldsSpec),
    ("zoo_optimizers", "optimizer", OptimizerSpec),
    ("zoo_schedules", "schedule", ScheduleSpec),
    ("zoo_augmentations", "augmentation", AugmentationSpec),
    ("zoo_metrics", "metric", MetricSpec),
    ("zoo_tokenizers", "tokenizer", TokenizerSpec),
    ("zoo_commands", "command", CommandSpec),
    ("zoo_exporters", "exporter", ExporterSpec),
    ("zoo_trackers", "tracker", TrackerSpec),
)


@hookspec
def zoo_architectures() -> Iterable[ArchitectureSpec]:  # pyright: ignore[reportReturnType]
    """Return the architectures that this plugin provides."""


@hookspec
def zoo_datasets() -> Iterable[DatasetSpec]:  # pyright: ignore[reportReturnType]
    """Return the datasets that this plugin provides."""


@hookspec
def zoo_analyzers() -> Iterable[AnalyzerSpec]:  # pyright: ignore[reportReturnType]
    """Return the analyzers that this plugin provides."""


@hookspec
def zoo_tasks() -> Iterable[TaskSpec]:  # pyright: ignore[reportReturnType]
    """Return the tasks that this plugin provides."""


@hookspec
def zoo_training_options() -> Iterable[FieldsSpec]:  # pyright: ignore[reportReturnType]
    """Return the groups of training options that this plugin provides, for its own or other tasks."""


@hookspec
def zoo_optimizers() -> Iterable[OptimizerSpec]:  # pyright: ignore[reportReturnType]
    """Return the optimizers that this plugin provides."""


@hookspec
def zoo_schedules() -> Iterable[ScheduleSpec]:  # pyright: ignore[reportReturnType]
    """Return the learning-rate schedules that this plugin provides."""


@hookspec
def zoo_augmentations() -> Iterable[AugmentationSpec]:  # pyright: ignore[reportReturnType]
    """Return the augmentations of images that this plugin provides."""


@hookspec
def zoo_metrics() -> Iterable[MetricSpec]:  # pyright: ignore[reportReturnType]
    """Return the metrics and losses that this plugin provides."""


@hookspec
def zoo_tokenizers() -> Iterable[TokenizerSpec]:  # pyright: ignore[reportReturnType]
    """Return the tokenizers that this plugin provides."""


@hookspec
def zoo_commands() -> Iterable[CommandSpec]:  # pyright: ignore[reportReturnType]
    """Return the commands that this plugin adds to `zoo`."""


@hookspec
def zoo_exporters() -> Iterable[ExporterSpec]:  # pyright: ignore[reportReturnType]
    """Return the export formats that this plugin provides."""


@hookspec
def zoo_trackers() -> Iterable[TrackerSpec]:  # pyright: ignore[reportReturnType]
    """Return the experiment trackers that this plugin provides."""


@hookspec
def zoo_recipes() -> Mapping[str, Recipe]:  # pyright: ignore[reportReturnType]
    """Return the recipes that this plugin provides, by name."""


@hookspec
def zoo_weights() -> Mapping[str, WeightsSpec]:  # pyright: ignore[reportReturnType]
    """Return the weights that this plugin publishes, keyed by id."""
