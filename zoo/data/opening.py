"""From a dataset's name and options to the data, as a new model or a trained one reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from zoo.config.options import text
from zoo.config.signatures import bounded_options, signature_options
from zoo.errors import OptionError, SpecError, ZooError, cause, warn
from zoo.files.cards import Card
from zoo.interfaces import SPLITS, Dataset, Split, Task
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import DatasetSpec

__all__ = [
    "decidable",
    "default_split",
    "open_dataset",
    "open_fed",
    "options_to_fine_tune",
    "require_fingerprint",
    "require_splits",
]


def open_dataset(entry: Entry[DatasetSpec], options: Mapping[str, Any]) -> Dataset:
    """Open a dataset, its preset's options applied.

    Raises:
        OptionError: an option is unknown, missing or of the wrong type.
        DataError: the data is missing or damaged.
        SpecError: the spec's target cannot be imported or returns something else.
    """
    return entry.make({**entry.spec.config, **options}, Dataset, flag="--data")


def require_splits(entry: Entry[DatasetSpec], dataset: Dataset) -> None:
    """Raise SpecError unless a dataset has a val and a test split, which may be empty.

    Any other fault, such as a missing file, is reported when the dataset is used.
    """
    for name in SPLITS[1:]:
        try:
            dataset.split(name)
        except ZooError:
            continue
        except Exception as error:
            message = f"dataset {entry.name} has no {name} split: split({name!r}) raised {cause(error)}"
            raise SpecError(message, hint="a split without data must be empty, such as []") from error


def require_fingerprint(entry: Entry[DatasetSpec], dataset: Dataset) -> None:
    """Raise SpecError unless the fingerprint of a dataset is a text, which a card can hold."""
    found = cast("object", dataset.fingerprint)
    if not isinstance(found, str):
        message = f"dataset {entry.name}: its fingerprint must be a text (got {found!r:.80})"
        raise SpecError(message, hint="the sha256 of what it reads tells its data from other data")


def default_split(dataset: Dataset) -> Split:
    """Return the split that a trained model is looked at on: `test`, or `val` if there is no test split."""
    return "val" if not len(dataset.split("test")) and len(dataset.split("val")) else "test"


def decidable(entry: Entry[DatasetSpec]) -> set[str]:
    """Return the options of a dataset that a weights file may decide; none of them can name a path."""
    target = entry.load()
    return bounded_options(target) | (signature_options(target).keys() & {*entry.spec.card_options})


def options_to_fine_tune(
    entry: Entry[DatasetSpec], card: Card, task: Task, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options that a dataset needs, besides its preset's and those given, to suit other weights.

    Args:
        card: that of the weights.
        given: options of the dataset.
    """
    known, safe = signature_options(entry.load()), decidable(entry)
    return {
        name: value
        for name, value in task.data_options(card).items()
        if name in safe and name not in {**entry.spec.config, **given} and value != known[name].default
    }


def open_fed(
    card: Card,
    task: Task,
    registry: Registry,
    *,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> tuple[Entry[DatasetSpec], Dataset]:
    """Open the data a model was trained on, or other data, and feed it as the model's card says.

    Warns if the data is not what the model was trained on. A card decides no path: see `decidable`.

    Args:
        task: the card's.
        dataset: other data; its own options then start from their defaults.
        data: options of the dataset, on top of those of the card.

    Raises:
        UnknownName, SpecError, OptionError, DataError: the data does not exist or does not fit.
    """
    entry = registry.dataset(dataset or card.dataset.name)
    if entry.spec.task != card.task:
        raise SpecError(f"the model is for {card.task}, but {entry.name} is for {entry.spec.task}")
    given, safe = data or {}, decidable(entry)
    options = dict(given)
    if entry.name == card.dataset.name:
        options = _options_of(card, entry, given)
    opened = open_dataset(entry, options)
    require_splits(entry, opened)
    reading = {name: value for name, value in task.reading(card, opened).items() if name in safe}
    overruled = ", ".join(name for name in reading if name in given)
    if overruled:
        warn(f"the model reads text with its own {overruled}; --data cannot change that")
    if reading:
        opened = open_dataset(entry, {**options, **reading})
    if opened.fingerprint != card.dataset.fingerprint:
        warn(f"this is not the {card.dataset.name} data that the model was trained on")
    return entry, task.feed(opened, card)


def _options_of(card: Card, entry: Entry[DatasetSpec], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card's options and what the user has said on top of them.

    Raises OptionError for an option that only the card says, although it could name a path.
    """
    undecidable = signature_options(entry.load()).keys() - decidable(entry) - said.keys()
    refused = {name: value for name, value in card.dataset.options.items() if name in undecidable}
    if refused:
        named = ", ".join(f"{name}={text(value)!r:.80}" for name, value in refused.items())
        numbers = {name: text(value) for name, value in refused.items() if isinstance(value, int | float)}
        again = " ".join(f"--data {name}={numbers.get(name, '...')}" for name in refused)
        message = f"the card of the weights says {named}, which a weights file cannot decide"
        raise OptionError(message, hint=f"say which data it is: {again}")
    return {**card.dataset.options, **said}
