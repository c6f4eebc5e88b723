"""Open a dataset by name and options, and prepare it for a new or a trained model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from zoo.config.arguments import is_url
from zoo.config.declarations import bounded_options, declared
from zoo.config.options import text
from zoo.config.recipe import Recipe
from zoo.data.views import normalized_as, of_items
from zoo.errors import DataError, OptionError, SpecError, ZooError, cause, warn
from zoo.files.cards import UNKNOWN_DATA, Card, too_large
from zoo.interfaces import SPLITS, Dataset, Split, Task
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec, Pretrained

# Bytes, and values, of a card for what is known only after the training
_FOR_METRICS = 50_000


def open_dataset(entry: Entry[DatasetSpec], options: Mapping[str, Any]) -> Dataset:
    """Open a dataset with its preset's options applied.

    Raises:
        OptionError: an option is unknown, missing or of the wrong type.
        DataError: the data is missing or damaged.
        SpecError: the spec's target cannot be imported or does not return a dataset.
    """
    return entry.make({**entry.spec.config, **options}, Dataset, flag="--data")


def typed_options(entry: Entry[DatasetSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset's options as a run records them: converted to their types, with absolute paths."""
    checked = entry.check({**entry.spec.config, **given}, flag="--data")
    checked |= {name: _absolute(checked[name]) for name in entry.spec.path_options if name in checked}
    return {name: value for name, value in checked.items() if name in given}


def _absolute(value: Any) -> Any:
    """Return a path, or a list of paths, as absolute; other values and URLs are unchanged."""
    if isinstance(value, list | tuple):
        return [*map(_absolute, cast("Sequence[Any]", value))]
    is_path = isinstance(value, str) and value and not is_url(value)
    return str(Path(value).expanduser().absolute()) if is_path else value


def require_splits(entry: Entry[DatasetSpec], dataset: Dataset) -> None:
    """Raise SpecError unless a dataset has a val split and a test split; both may be empty.

    Other errors, such as a missing file, are reported when the dataset is used.
    """
    for name in SPLITS[1:]:
        try:
            dataset.split(name)
        except ZooError:
            continue
        except Exception as error:
            message = f"dataset {entry.name} has no {name} split: split({name!r}) raised {cause(error)}"
            raise SpecError(message, hint="for a split without data, return []") from error


def open_to_train(entry: Entry[DatasetSpec], recipe: Recipe) -> Dataset:
    """Open the dataset of a recipe for training.

    Raises, in addition to the errors of `open_dataset`:
        SpecError: the dataset has no val or test split, or its fingerprint is not a string.
        DataError: a name in the dataset or in the recipe cannot be stored in a card, or the card would be too
            large.
    """
    dataset = open_dataset(entry, recipe.data)
    require_splits(entry, dataset)
    found = cast("object", dataset.fingerprint)
    if not isinstance(found, str):
        message = f"dataset {entry.name}: its fingerprint must be a string (got {found!r:.80})"
        raise SpecError(message, hint="return the sha256 of the data that the dataset reads")
    names = [recipe.to_dict(), dataset.preprocess]
    card = json.dumps(names, ensure_ascii=False, default=str, separators=(",", ":"))
    if strange := re.search(r'"[^"]*[\ud800-\udfff][^"]*"', card):
        hint = "rename the file or folder: its name cannot be stored in weights or config.toml"
        raise DataError(f"{strange[0][1:-1]!a} is not valid UTF-8", hint=hint)
    if too_large(card + "," * _FOR_METRICS):
        size = f"{len(card.encode()):,} bytes, or too many values"
        message = f"the card of weights trained on {entry.name} would be too large to load ({size})"
        raise DataError(message, hint="use a smaller vocabulary or fewer classes")
    return dataset


def suited(
    dataset: Dataset,
    entry: Entry[DatasetSpec],
    task: Task,
    architecture: Entry[ArchitectureSpec],
    arguments: Mapping[str, Any],
) -> Dataset:
    """Normalize data as a model's pretrained weights require, if the model has any.

    Args:
        arguments: the arguments of the model.

    Raises DataError if the data's `preprocess` is not valid for its task, since weights trained on it could
    not be loaded.
    """
    try:
        task.processor.check_feeding(dataset.preprocess, arguments)
    except OptionError as error:
        raise DataError(f"{entry.name} cannot be fed to a model: {error}") from None
    pretrained = architecture.spec.starts_from(arguments)
    if pretrained is None or not pretrained.mean:
        return dataset
    what = f"{architecture.name} with pretrained={arguments['pretrained']}"
    return normalized_as(dataset, pretrained.mean, pretrained.std, what=what)


def default_split(dataset: Dataset) -> Split:
    """Return the split to analyze a trained model on: `test`, or `val` if there is no test split."""
    return "val" if not len(dataset.split("test")) and len(dataset.split("val")) else "test"


def decidable(entry: Entry[DatasetSpec]) -> set[str]:
    """Return the options of a dataset that a weights file may set, which excludes all paths."""
    target = entry.load()
    return bounded_options(target) | (declared(target).keys() & {*entry.spec.card_options})


def card_options(entry: Entry[DatasetSpec], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a dataset that a card records: those that it may set, and numbers.

    A number that a card may not set is useful information; a string could be a path.
    """
    safe = decidable(entry)
    return {
        name: value
        for name, value in options.items()
        if name in safe or isinstance(value, bool | int | float)
    }


def local_options(entry: Entry[DatasetSpec], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a dataset that a card may not set, such as where the data lies."""
    safe = decidable(entry)
    return {name: value for name, value in options.items() if name not in safe}


def options_to_fine_tune(
    entry: Entry[DatasetSpec], card: Card, task: Task, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return additional dataset options, besides the preset's and the user's, that the weights require.

    Args:
        card: card of the weights.
        given: options of the dataset.
    """
    return _unset(entry, task.data_options(card), given)


def options_of_pretrained(
    entry: Entry[DatasetSpec], pretrained: Pretrained | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return additional dataset options that suit weights published elsewhere: the images' size and channels.

    A value that the dataset does not support is omitted.
    """
    wanted = {"size": pretrained.size, "channels": len(pretrained.mean)} if pretrained else {}
    found = _unset(entry, {name: value for name, value in wanted.items() if value}, given)
    for name in [*found]:
        try:
            entry.check({**entry.spec.config, **given, name: found[name]}, flag="--data")
        except OptionError:
            del found[name]
    return found


def _unset(entry: Entry[DatasetSpec], wanted: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a dataset has, and that neither its preset nor the user sets."""
    known, safe = declared(entry.load()), decidable(entry)
    return {
        name: value
        for name, value in wanted.items()
        if name in safe and name not in {**entry.spec.config, **given} and value != known[name].default
    }


def open_fed(
    card: Card,
    task: Task,
    registry: Registry,
    *,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    whole: bool = False,
) -> tuple[Entry[DatasetSpec], Dataset]:
    """Open the data that a model was trained on, or different data, and prepare it as the card specifies.

    Warns if a dataset of the same name differs from the training data. A card never sets a path: see
    `decidable`.

    Args:
        task: the task of the card.
        dataset: a different dataset; its options have their defaults, except those that the model requires.
        data: options of the dataset, which override the card's.
        whole: use all items of a different dataset as the test split, if neither the dataset nor `data`
            defines splits.

    Raises:
        UnknownName, SpecError, OptionError, DataError: the data does not exist or is not compatible with the
            model.
    """
    if not dataset and card.dataset.name == UNKNOWN_DATA:
        hint = "pass --dataset to `zoo eval` or `zoo analyze`"
        raise DataError("the imported weights do not record the data that they were trained on", hint=hint)
    entry = registry.dataset(dataset or card.dataset.name)
    if entry.spec.task != card.task:
        hint = f"`zoo list datasets --where task={card.task}` shows the compatible datasets"
        raise SpecError(f"the model is for {card.task}, but {entry.name} is for {entry.spec.task}", hint=hint)
    given, own = data or {}, entry.name == card.dataset.name
    if own:
        options = _options_of(card, entry, given)
    else:
        options = {**options_to_fine_tune(entry, card, task, given), **given}
    checked = entry.check({**entry.spec.config, **options}, flag="--data")
    _require_suited(task.data_options(card), checked, given)
    undivided = entry.spec.undivided if whole and dataset else {}
    if undivided.keys() & given.keys() or (undivided and own and _is_of(card, open_dataset(entry, options))):
        undivided = {}
    options |= undivided
    opened = open_dataset(entry, options)
    require_splits(entry, opened)
    safe = decidable(entry)
    reading = {name: value for name, value in task.reading(card, opened).items() if name in safe}
    overruled = ", ".join(name for name in reading if name in given)
    if overruled:
        warn(f"--data cannot change {overruled}: the model requires the values used in training")
    if reading:
        opened = open_dataset(entry, {**options, **reading})
    if own and not _is_of(card, opened):
        warn(f"this is not the {card.dataset.name} data that the model was trained on")
    fed = task.feed(opened, card)
    if undivided and not any(len(fed.split(name)) for name in SPLITS[1:]):
        fed = of_items(fed.split("train"), card, fingerprint=fed.fingerprint)
    return entry, fed


def split_name(dataset: Dataset, split: Split) -> str:
    """Return the name of a split: `all` for a test split that holds all of the data."""
    return "all" if split == "test" and not any(len(dataset.split(name)) for name in SPLITS[:2]) else split


def _is_of(card: Card, opened: Dataset) -> bool:
    """Return whether a dataset is the one that a model was trained on."""
    return opened.fingerprint == card.dataset.fingerprint


def _require_suited(suited: Mapping[str, Any], options: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise OptionError if the user has set an option to a value that the model does not support."""
    wrong = [name for name in suited if name in given and options[name] != suited[name]]
    if wrong:
        needed, got = ([f"{name}={text(of[name])}" for name in wrong] for of in (suited, options))
        hint = f"omit {' '.join(f'--data {each}' for each in got)}: the weights determine this value"
        raise OptionError(f"the model requires {', '.join(needed)} (got {', '.join(got)})", hint=hint)


def _options_of(card: Card, entry: Entry[DatasetSpec], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card's options, overridden by the user's.

    Raises OptionError if only the card sets an option that could name a path.
    """
    undecidable = declared(entry.load()).keys() - decidable(entry) - said.keys()
    refused = {name: value for name, value in card.dataset.options.items() if name in undecidable}
    if refused:
        named = ", ".join(f"{name}={text(value)!r:.80}" for name, value in refused.items())
        numbers = {name: text(value) for name, value in refused.items() if isinstance(value, int | float)}
        again = " ".join(f"--data {name}={numbers.get(name, '...')}" for name in refused)
        message = f"the card of the weights sets {named}, which only the user may set"
        raise OptionError(message, hint=f"pass it explicitly: {again}")
    return {**card.dataset.options, **said}
