"""Data fed to a trained model the way its card says, whatever the data's own way would be.

A model knows one vocabulary, one normalisation and one order of classes: those it learned with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from zoo.data.vocabulary import Vocabulary
from zoo.errors import DataError, SpecError
from zoo.files.cards import Card
from zoo.interfaces import Dataset, Split
from zoo.models.building import open_dataset, signature_options
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import DatasetSpec

__all__ = ["feed_as", "open_fed"]


def open_fed(
    card: Card,
    registry: Registry,
    *,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> tuple[Entry[DatasetSpec], Dataset]:
    """Open the data a model learned from, or other data, and feed it as the model's card says.

    Args:
        dataset: other data; its own options then start from their defaults.
        data: options of the dataset, over those the model learned with.
        notice: told if the data is not what the model was trained and judged on.

    Raises:
        UnknownName, SpecError, OptionError, DataError: each says what to do.
    """
    entry = registry.dataset(dataset or card.dataset.name)
    if entry.spec.task != card.task:
        raise SpecError(f"the model does {card.task}, and {entry.name} is data for {entry.spec.task}")
    same = entry.name == card.dataset.name
    options = (card.dataset.options if same else {}) | dict(data or {})
    opened = open_dataset(entry, options)
    if card.task == "language-modelling":
        opened = _read_as(card, opened, entry, options, given=data or {}, notice=notice)
    if opened.fingerprint != card.dataset.fingerprint:
        notice(f"this is other data than {card.dataset.name} as the model learned from it")
    return entry, feed_as(opened, card)


def feed_as(dataset: Dataset, card: Card) -> Dataset:
    """Return `dataset` as the model behind `card` reads it.

    Text is translated token by token into the card's vocabulary, what it lacks becoming `<unk>`; images are
    normalised with the card's mean and deviation. Raises DataError where images or classes do not fit, and
    for a text in another kind of tokens or the other direction.
    """
    if card.task == "language-modelling":
        ours, theirs = Vocabulary(card.preprocess), Vocabulary(dataset.preprocess)
        if _way(ours) != _way(theirs):
            raise DataError(
                f"the model reads {_way(ours)}, and the data gives {_way(theirs)}",
                hint=f"it was trained on {card.dataset.name}",
            )
        return _Translated(dataset, card, ours, theirs)
    for key in ("in_channels", "image_size", "num_classes"):
        if dataset.dims[key] != card.arguments[key]:
            raise DataError(
                f"the data's {key} is {dataset.dims[key]}, and the model takes {card.arguments[key]}",
                hint=f"it was trained on {card.dataset.name}",
            )
    if dataset.preprocess["classes"] != card.preprocess["classes"]:
        raise DataError(f"the data's classes are not those of {card.dataset.name}, which the model knows")
    return _Fed(dataset, card)


def _way(vocabulary: Vocabulary) -> str:
    return f"{vocabulary.kind} tokens {'backwards' if vocabulary.backwards else 'forwards'}"


class _Fed(Dataset):
    """A dataset with another's preprocessing."""

    def __init__(self, dataset: Dataset, card: Card) -> None:
        self._dataset = dataset
        self._card = card

    @property
    def dims(self) -> Mapping[str, int]:
        return self._dataset.dims

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return self._card.preprocess

    @property
    def fingerprint(self) -> str:
        return self._dataset.fingerprint

    def split(self, name: Split) -> Any:
        return self._dataset.split(name)


class _Translated(Dataset):
    """A text in another vocabulary."""

    def __init__(self, dataset: Dataset, card: Card, ours: Vocabulary, theirs: Vocabulary) -> None:
        self._dataset = dataset
        self._card = card
        self._table = None
        if ours.texts != theirs.texts:
            texts = [text.lower() if ours.lower else text for text in theirs.texts]
            self._table = torch.tensor([ours.number(text) for text in texts])

    @property
    def dims(self) -> Mapping[str, int]:
        return {"vocab_size": len(self._card.preprocess["vocabulary"])}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return self._card.preprocess

    @property
    def fingerprint(self) -> str:
        return self._dataset.fingerprint

    def split(self, name: Split) -> Any:
        tokens = self._dataset.split(name)
        return tokens if self._table is None else self._table[tokens.long()]


def _read_as(
    card: Card,
    opened: Dataset,
    entry: Entry[DatasetSpec],
    options: Mapping[str, Any],
    *,
    given: Mapping[str, Any],
    notice: Callable[[str], None],
) -> Dataset:
    """Open a text anew if it is not read as the model reads, by the options its dataset has for that."""
    theirs, known = Vocabulary(opened.preprocess).options(), signature_options(entry.load())
    ours = Vocabulary(card.preprocess).options()
    others = {name: value for name, value in ours.items() if name in known and value != theirs[name]}
    overruled = ", ".join(name for name in others if name in given)
    if overruled:
        notice(f"the model reads text with its own {overruled}, which --data does not change")
    return open_dataset(entry, {**options, **others}) if others else opened
