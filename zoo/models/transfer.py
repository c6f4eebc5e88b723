"""Fine-tuning: start a model from the weights of a model that was trained on different data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config.train_config import TrainConfig
from zoo.errors import WeightsError, warn
from zoo.files.cards import Card
from zoo.files.container import Container
from zoo.interfaces import CarriesState, Dataset, FitsInputs, LoadsPretrained, Task, make_task
from zoo.models.building import build_model, drawing_from, on_meta
from zoo.models.weights import module_of
from zoo.processors import matched_labels
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a model took over from the weights that it starts from.

    Attributes:
        fresh: names of the tensors that are newly initialized, completely or in some rows.
        labels: whether the rows of each label (class or token) were copied; empty if no rows were.
    """

    fresh: list[str]
    labels: list[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
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
    ) -> Copied:
        """Copy the tensors that match, and report them.

        Of tensors with a row for each class (or token), the rows of classes that both have are copied, in any
        order. Names of classes are matched as in an evaluation. Rows have no meaning for another task.

        Args:
            task: the task to train for.
            arguments: the arguments that `model` was built with.
            preprocess: `preprocess` of the data to train on.

        Raises:
            WeightsError: no tensor matches.
        """
        state, theirs = model.state_dict(), self.model.state_dict()  # with the layers' version numbers
        dim, key = self.task.spec.labels or ("", "")
        ours, known = ([*map(str, of.get(key, ()))] for of in (preprocess, self.card.preprocess))
        rows: list[int | None] = [None] * len(ours)
        if task.name == self.task.name:
            rows = matched_labels(ours, known, exact=isinstance(task, CarriesState))
        axes = {} if rows == [*range(len(known))] else self._label_axes(dim, arguments)
        copied = {name: _copied(state[name], theirs.get(name), axes.get(name), rows) for name in state}
        fresh = [name for name, tensor in copied.items() if tensor is None]
        if len(fresh) == len(copied):
            raise WeightsError(f"no tensor in {self.path} matches {self.entry.name}")
        state.update({name: tensor for name, tensor in copied.items() if tensor is not None})
        model.load_state_dict(state)
        report = f"starting from {len(copied) - len(fresh)} tensors of {self.card.architecture}"
        report += f" trained on {self.card.dataset.name}"
        kept, new = len(rows) - rows.count(None), rows.count(None)
        by_row = [name for name in axes if name not in fresh]
        if kept and (by_row or not axes):
            report += f"; {key}: {kept} copied, {new} new, {len(known) - kept} absent"
        warn(report + (f"; newly initialized: {', '.join(fresh)}" if fresh else ""))
        return Copied(
            fresh=[*fresh, *(by_row if new else ())],
            labels=[row is not None for row in rows] if by_row or not axes else [],
        )

    def _label_axes(self, dim: str, arguments: Mapping[str, Any]) -> dict[str, int]:
        """Return the axis along which each tensor has a row for each label; -1 if it has something else."""
        with on_meta():
            now = build_model(self.entry, arguments).state_dict()
            then = build_model(self.entry, {**arguments, dim: arguments[dim] + 1}).state_dict()
        axes: dict[str, int] = {}
        for name, tensor in now.items():
            if tensor.shape != then[name].shape:
                grown = [b - a for a, b in zip(tensor.shape, then[name].shape, strict=True)]
                axes[name] = grown.index(1) if sorted(grown)[-2:] in ([1], [0, 1]) else -1
        return axes


def _copied(
    ours: Tensor, theirs: Tensor | None, axis: int | None, rows: Sequence[int | None]
) -> Tensor | None:
    """Return the values of another tensor, or those of its rows along an axis; None if they do not fit.

    Args:
        rows: for each of our rows, the number of theirs; None for a row to keep.
    """
    if theirs is None or theirs.ndim != ours.ndim:
        return None
    if axis is None:
        return theirs if theirs.shape == ours.shape else None
    pairs = [(new, old) for new, old in enumerate(rows) if old is not None]
    if axis < 0 or not pairs or ours.select(axis, 0).shape != theirs.select(axis, 0).shape:
        return None
    new, old = torch.tensor(pairs).T
    return ours.index_copy(axis, new, theirs.index_select(axis, old))


def load_base_model(
    path: Path, card: Card, content: Container, entry: Entry[ArchitectureSpec], registry: Registry
) -> BaseModel:
    """Load the weights of the architecture `entry` that were read from a file. Raises WeightsError."""
    model = module_of(path, card, content, registry).eval()
    dims, task = registry.task(card.task).dims, make_task(registry, card.task)
    options = {name: value for name, value in card.arguments.items() if name not in dims}
    return BaseModel(path=path, entry=entry, task=task, model=model, card=card, options=options)


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
