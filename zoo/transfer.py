"""Fine-tuning: a model starts from the weights of another that was trained on other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo import weights
from zoo.building import build_model
from zoo.cards import Card, read_card
from zoo.errors import SpecError, WeightsError
from zoo.registry import Entry, Registry
from zoo.specs import DIMS, ArchitectureSpec

__all__ = ["Adopted", "adopt"]

_LABELS = {"classification": ("num_classes", "classes"), "language-modelling": ("vocab_size", "vocabulary")}
"""By task: the dim that counts what a model predicts, and the names of it in `preprocess`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What a model took over."""

    card: Card
    """Of the weights it starts from."""
    kept: list[str]
    """Tensors it took."""
    fresh: list[str]
    """Tensors that start anew: of another shape, or standing for other classes or tokens."""

    @property
    def origin(self) -> dict[str, str]:
        """What the card of the new model says of the old one."""
        return {
            "architecture": self.card.architecture,
            "dataset": self.card.dataset.name,
            "sha256": self.card.sha256,
        }

    def told(self) -> str:
        """Return it as a sentence."""
        new = f"; new: {', '.join(self.fresh)}" if self.fresh else ""
        origin = f"a {self.card.architecture} trained on {self.card.dataset.name}"
        return f"starting from {len(self.kept)} tensors of {origin}{new}"


def options_of(path: Path, entry: Entry[ArchitectureSpec]) -> dict[str, Any]:
    """Return the options a file's model was built with, the task's dims apart.

    Raises SpecError if it is of another architecture than `entry`, WeightsError if it is no weights file.
    """
    card, _ = read_card(path)
    if card.architecture != entry.name:
        raise SpecError(
            f"{path} holds a {card.architecture}, and a {entry.name} is to be trained",
            hint=f"train the same: zoo train {card.architecture} DATASET --from {path}",
        )
    return {name: value for name, value in card.arguments.items() if name not in DIMS[card.task]}


def adopt(
    model: nn.Module,
    path: Path,
    entry: Entry[ArchitectureSpec],
    arguments: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    registry: Registry,
) -> Adopted:
    """Copy into `model` what fits it of the weights in a file.

    A tensor whose shape follows the number of classes (or tokens) is kept only if the classes are the same,
    in the same order: ten of one set are not ten of another.

    Args:
        entry, arguments: what `model` was built from.
        preprocess: of the data it is to learn from.

    Raises WeightsError if it is damaged, or nothing in it fits.
    """
    other, card = weights.load(path, registry)
    ours, theirs = model.state_dict(), other.state_dict()
    fitting = {name for name in ours if name in theirs and ours[name].shape == theirs[name].shape}
    _, labels = _LABELS[card.task]
    if card.preprocess[labels] != preprocess[labels]:
        fitting -= _of_labels(entry, arguments)
    if not fitting:
        raise WeightsError(f"nothing in {path} fits the {entry.name} that is to be trained")
    model.load_state_dict({name: theirs[name] for name in fitting}, strict=False)
    return Adopted(
        card=card,
        kept=[name for name in ours if name in fitting],
        fresh=[name for name in ours if name not in fitting],
    )


def _of_labels(entry: Entry[ArchitectureSpec], arguments: Mapping[str, Any]) -> set[str]:
    """Return the tensors whose shape follows the number of classes or tokens."""
    count, _ = _LABELS[entry.spec.task]
    with torch.device("meta"):
        now = build_model(entry, arguments).state_dict()
        then = build_model(entry, {**arguments, count: arguments[count] + 1}).state_dict()
    return {name for name in now if now[name].shape != then[name].shape}
