"""The tasks there are, as specs."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.registry.specs import TaskSpec

__all__ = ["TASKS"]

TASKS: Mapping[str, TaskSpec] = {
    "classification": TaskSpec(
        name="classification",
        target="zoo.tasks.classification:Classification",
        summary="One of K classes for each image",
        dims={"in_channels": 3, "image_size": 32, "num_classes": 10},  # CIFAR-10
        groups=("images",),
    ),
    "language-modelling": TaskSpec(
        name="language-modelling",
        target="zoo.tasks.language_modelling:LanguageModelling",
        summary="Each token of a text from those before it",
        dims={"vocab_size": 56},  # Nietzsche
        groups=("text",),
    ),
}
