"""Fine-tuning: start a model from the weights of a model that was trained on different data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from zoo.config.train_config import TrainConfig
from zoo.errors import WeightsError, warn
from zoo.files.cards import Card
from zoo.files.container import Container
from zoo.interfaces import Dataset, FitsInputs, LoadsPretrained, Task, make_task
from zoo.models.building import build_model, drawing_from, on_meta
from zoo.models.weights import module_of
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Weights to start from, loaded and checked.

    Attributes:
        options: the arguments that the model was built with, except the task's dims.
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
    ) -> list[str]:
        """Copy the tensors that match, and report them; return the names of newly initialized tensors.

        A tensor whose shape depends on the number of classes (or tokens) is copied only if the task, the
        classes and their order are the same: two datasets may have ten classes each, but not the same ones.

        Args:
            task: the task to train for.
            arguments: the arguments that `model` was built with.
            preprocess: `preprocess` of the data to train on.

        Raises:
            WeightsError: no tensor matches.
        """
        ours, theirs = model.state_dict(), self.model.state_dict()
        fitting = {name for name in ours if name in theirs and ours[name].shape == theirs[name].shape}
        count, labels = self.task.spec.labels or ("", "")
        if labels and (self.task.name != task.name or self.card.preprocess[labels] != preprocess[labels]):
            fitting -= self._sized_by(count, arguments)
        if not fitting:
            raise WeightsError(f"no tensor in {self.path} matches {self.entry.name}")
        state = model.state_dict()  # with the layers' version numbers, which load_state_dict reads
        for name in fitting:
            state[name] = theirs[name]
        model.load_state_dict(state)
        fresh = [name for name in ours if name not in fitting]
        new = f"; newly initialized: {', '.join(fresh)}" if fresh else ""
        theirs = f"{self.card.architecture} trained on {self.card.dataset.name}"
        warn(f"starting from {len(fitting)} tensors of {theirs}{new}")
        return fresh

    def _sized_by(self, dim: str, arguments: Mapping[str, Any]) -> set[str]:
        """Return the names of the tensors whose shape depends on a dim."""
        with on_meta():
            now = build_model(self.entry, arguments).state_dict()
            then = build_model(self.entry, {**arguments, dim: arguments[dim] + 1}).state_dict()
        return {name for name in now if now[name].shape != then[name].shape}


def open_source(
    path: Path, card: Card, content: Container, entry: Entry[ArchitectureSpec], registry: Registry
) -> Source:
    """Load the weights of the architecture `entry` that were read from a file. Raises WeightsError."""
    model = module_of(path, card, content, registry).eval()
    dims, task = registry.task(card.task).dims, make_task(registry, card.task)
    options = {name: value for name, value in card.arguments.items() if name not in dims}
    return Source(path=path, entry=entry, task=task, model=model, card=card, options=options)


def fit_or_load(model: nn.Module, task: Task, dataset: Dataset, *, seed: int) -> dict[str, str]:
    """Let a model fit its first layers to the data, or load pretrained weights; return their source."""
    if isinstance(model, FitsInputs):
        few = TrainConfig(batch_size=500)  # not augmented
        inputs = next(task.train_batches(dataset, few, seed=seed, epoch=0)).inputs
        with drawing_from(seed):
            model.fit_inputs(inputs)
    if isinstance(model, LoadsPretrained):
        with drawing_from(seed):
            return dict(model.load_pretrained() or {})
    return {}
