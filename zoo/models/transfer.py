"""Fine-tuning: a model starts from the weights of another that was trained on other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.errors import SpecError, WeightsError
from zoo.files.cards import Card
from zoo.interfaces import Task, make_task
from zoo.models.building import build_model
from zoo.models.weights import load
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec

__all__ = ["Source", "open_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Weights to start from, checked."""

    path: Path
    entry: Entry[ArchitectureSpec]
    task: Task
    model: nn.Module
    card: Card
    options: dict[str, Any]
    """What the model was built with, except the task's dims."""

    @property
    def base_model(self) -> dict[str, str]:
        """What the card of a model that starts from here says of it."""
        card = self.card
        return {"architecture": card.architecture, "dataset": card.dataset.name, "sha256": card.sha256}

    def copy_into(
        self, model: nn.Module, arguments: Mapping[str, Any], preprocess: Mapping[str, Any]
    ) -> tuple[list[str], list[str]]:
        """Copy what fits; return the names of the tensors that were copied, and of those newly initialized.

        A tensor whose shape depends on the number of classes (or tokens) is copied only if the classes are
        the same, in the same order: ten of one set are not ten of another.

        Args:
            arguments: what `model` was built with.
            preprocess: of the data it is to be trained on.

        Raises:
            WeightsError: nothing fits.
        """
        ours, theirs = model.state_dict(), self.model.state_dict()
        fitting = {name for name in ours if name in theirs and ours[name].shape == theirs[name].shape}
        count, labels = self.task.labels
        if self.card.preprocess[labels] != preprocess[labels]:
            fitting -= self._sized_by(count, arguments)
        if not fitting:
            raise WeightsError(f"nothing in {self.path} fits the {self.entry.name} to be trained")
        model.load_state_dict({name: theirs[name] for name in fitting}, strict=False)
        return [name for name in ours if name in fitting], [name for name in ours if name not in fitting]

    def _sized_by(self, dim: str, arguments: Mapping[str, Any]) -> set[str]:
        """Return the tensors whose shape depends on a dim."""
        with torch.device("meta"):
            now = build_model(self.entry, arguments).state_dict()
            then = build_model(self.entry, {**arguments, dim: arguments[dim] + 1}).state_dict()
        return {name for name in now if now[name].shape != then[name].shape}


def open_source(path: Path, entry: Entry[ArchitectureSpec], registry: Registry) -> Source:
    """Return the weights in a file, which must be of the architecture `entry`.

    Raises SpecError if they are of another, WeightsError if the file is damaged.
    """
    model, card = load(path, registry)
    if card.architecture != entry.name:
        raise SpecError(
            f"{path} holds a {card.architecture}, but a {entry.name} is to be trained",
            hint=f"train the same architecture: zoo train {card.architecture} DATASET --from {path}",
        )
    dims = registry.task(card.task).dims
    return Source(
        path=path,
        entry=entry,
        task=make_task(registry, card.task),
        model=model,
        card=card,
        options={name: value for name, value in card.arguments.items() if name not in dims},
    )
