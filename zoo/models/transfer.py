"""Fine-tuning: a model starts from the weights of another that was trained on other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.errors import SpecError, WeightsError
from zoo.files.cards import Card, read_card
from zoo.models import weights
from zoo.models.building import build_model
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import DIMS, ArchitectureSpec, TaskName

__all__ = ["Source", "open_source"]

_LABELS: Mapping[TaskName, tuple[str, str]] = {
    "classification": ("num_classes", "classes"),
    "language-modelling": ("vocab_size", "vocabulary"),
}
"""By task: the dim that counts what a model predicts, and the names of it in `preprocess`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Weights to start from, checked."""

    path: Path
    entry: Entry[ArchitectureSpec]
    model: nn.Module
    card: Card

    @property
    def options(self) -> dict[str, Any]:
        """What the model was built with, the task's dims apart."""
        dims = DIMS[self.card.task]
        return {name: value for name, value in self.card.arguments.items() if name not in dims}

    @property
    def origin(self) -> dict[str, str]:
        """What the card of a model that starts from here says of it."""
        card = self.card
        return {"architecture": card.architecture, "dataset": card.dataset.name, "sha256": card.sha256}

    def copy_into(
        self, model: nn.Module, arguments: Mapping[str, Any], preprocess: Mapping[str, Any]
    ) -> tuple[list[str], list[str]]:
        """Copy what fits; return the names of the tensors that were kept, and of those that start anew.

        A tensor whose shape follows the number of classes (or tokens) is kept only if the classes are the
        same, in the same order: ten of one set are not ten of another.

        Args:
            arguments: what `model` was built with.
            preprocess: of the data it is to learn from.

        Raises:
            WeightsError: nothing fits.
        """
        ours, theirs = model.state_dict(), self.model.state_dict()
        fitting = {name for name in ours if name in theirs and ours[name].shape == theirs[name].shape}
        count, labels = _LABELS[self.card.task]
        if self.card.preprocess[labels] != preprocess[labels]:
            fitting -= self._that_follow(count, arguments)
        if not fitting:
            raise WeightsError(f"nothing in {self.path} fits the {self.entry.name} that is to be trained")
        model.load_state_dict({name: theirs[name] for name in fitting}, strict=False)
        return [name for name in ours if name in fitting], [name for name in ours if name not in fitting]

    def _that_follow(self, dim: str, arguments: Mapping[str, Any]) -> set[str]:
        """Return the tensors whose shape follows a dim."""
        with torch.device("meta"):
            now = build_model(self.entry, arguments).state_dict()
            then = build_model(self.entry, {**arguments, dim: arguments[dim] + 1}).state_dict()
        return {name for name in now if now[name].shape != then[name].shape}


def open_source(path: Path, entry: Entry[ArchitectureSpec], registry: Registry) -> Source:
    """Return the weights in a file, which must be of the architecture `entry`.

    Raises SpecError if they are of another, WeightsError if the file is damaged.
    """
    card, _ = read_card(path)
    if card.architecture != entry.name:
        raise SpecError(
            f"{path} holds a {card.architecture}, and a {entry.name} is to be trained",
            hint=f"train the same: zoo train {card.architecture} DATASET --from {path}",
        )
    model, card = weights.load(path, registry)
    return Source(path=path, entry=entry, model=model, card=card)
