"""Fine-tuning: start a model from the weights of another that was trained on other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from zoo.errors import WeightsError
from zoo.files.cards import Card
from zoo.files.container import Container
from zoo.interfaces import Task, make_task
from zoo.models.building import build_model, on_meta
from zoo.models.weights import module_of
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec

__all__ = ["Source", "open_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Weights to start from, loaded and checked.

    Attributes:
        options: the arguments the model was built with, except the task's dims.
    """

    path: Path
    entry: Entry[ArchitectureSpec]
    task: Task
    model: nn.Module
    card: Card
    options: dict[str, Any]

    @property
    def base_model(self) -> dict[str, str]:
        """The `base_model` on the card of a model that starts from these weights."""
        card = self.card
        return {"architecture": card.architecture, "dataset": card.dataset.name, "sha256": card.sha256}

    def copy_into(
        self, model: nn.Module, task: Task, arguments: Mapping[str, Any], preprocess: Mapping[str, Any]
    ) -> tuple[list[str], list[str]]:
        """Copy the tensors that fit; return the names of those copied and of those newly initialized.

        A tensor whose shape depends on the number of classes (or tokens) is copied only if the task is the
        same, and the classes are, in the same order: ten classes of one dataset are not ten of another.

        Args:
            task: what to train for.
            arguments: those that `model` was built with.
            preprocess: that of the data to train on.

        Raises:
            WeightsError: nothing fits.
        """
        ours, theirs = model.state_dict(), self.model.state_dict()
        fitting = {name for name in ours if name in theirs and ours[name].shape == theirs[name].shape}
        count, labels = self.task.spec.labels or ("", "")
        if labels and (self.task.name != task.name or self.card.preprocess[labels] != preprocess[labels]):
            fitting -= self._sized_by(count, arguments)
        if not fitting:
            raise WeightsError(f"nothing in {self.path} fits the {self.entry.name} to be trained")
        state = model.state_dict()  # with the layers' version numbers, which load_state_dict reads
        for name in fitting:
            state[name] = theirs[name]
        model.load_state_dict(state)
        return [name for name in ours if name in fitting], [name for name in ours if name not in fitting]

    def _sized_by(self, dim: str, arguments: Mapping[str, Any]) -> set[str]:
        """Return the names of the tensors whose shape depends on a dim."""
        with on_meta():
            now = build_model(self.entry, arguments).state_dict()
            then = build_model(self.entry, {**arguments, dim: arguments[dim] + 1}).state_dict()
        return {name for name in now if now[name].shape != then[name].shape}


def open_source(
    path: Path, card: Card, content: Container, entry: Entry[ArchitectureSpec], registry: Registry
) -> Source:
    """Load the weights that were read from a file, of the architecture `entry`. Raises WeightsError."""
    model = module_of(path, card, content, registry).eval()
    dims, task = registry.task(card.task).dims, make_task(registry, card.task)
    options = {name: value for name, value in card.arguments.items() if name not in dims}
    return Source(path=path, entry=entry, task=task, model=model, card=card, options=options)
