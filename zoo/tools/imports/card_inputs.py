"""The part of a card that describes a model's inputs: from a dataset, from the user, or from both."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from msgspec import Meta
from msgspec.structs import replace

from zoo.api.models_and_datasets import open_dataset
from zoo.config import options
from zoo.config.declarations import Count
from zoo.data.opening import card_options, open_fed
from zoo.errors import DataError, OptionError, ZooWarning
from zoo.files.cards import UNKNOWN_DATA, Card, DatasetCard
from zoo.interfaces import make_task
from zoo.processors import make_processor
from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec, Pretrained, TaskSpec

# The keys of `preprocess` and their types, by a dim of the tasks that have them; those that may be missing
_TYPES: dict[str, dict[str, Any]] = {
    "image_size": {
        "size": Annotated[int, Meta(ge=1)],
        "mean": tuple[float, ...],
        "std": tuple[float, ...],
        "classes": tuple[str, ...],
    },
    "vocab_size": {
        "tokens": str,
        "lower": bool,
        "vocabulary": tuple[str, ...],
        "specials": int,
        "newline_eos": bool,
        "backwards": bool,
    },
}
_OPTIONAL = {"newline_eos", "backwards"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """The data that a model was trained on, as its card describes it.

    Attributes:
        dims: the arguments of the model that depend on the data.
        preprocess: how to prepare inputs, as in a card.
    """

    task: TaskSpec
    dims: Mapping[str, int]
    preprocess: dict[str, Any]
    dataset: DatasetCard


def feeding_of(
    architecture: str,
    dataset: str | None,
    data: Mapping[str, Any] | None,
    preprocess: Mapping[str, Any] | None,
    registry: Registry,
    *,
    progress: bool,
) -> Feeding:
    """Return the dims and the preprocessing of a model: those of a dataset, and what the user sets.

    Raises OptionError if neither provides what the task needs, and the errors of `zoo.open_dataset`.
    """
    built = registry.architecture(architecture)
    if dataset is None:
        if data:
            raise OptionError("data contains options of a dataset, but no dataset is given")
        task = registry.task(built.spec.task)
        given = _published(built.spec) | _typed(task, preprocess or {}, {})
        dims = _dims(task, given)
        card = DatasetCard(name=UNKNOWN_DATA, options={}, fingerprint="")
        return Feeding(task=task, dims=dims, preprocess=given, dataset=card)
    entry = registry.dataset(dataset)
    task = registry.shared_task(built, entry)
    try:
        opened = open_dataset(dataset, progress=progress, registry=registry, **(data or {}))
    except DataError as error:
        types = next((types for dim, types in _TYPES.items() if dim in task.dims), {"KEY": str})
        keys = [key for key in types if key not in _OPTIONAL]
        without = f"without the data, omit --dataset and pass {_options(keys)}"
        raise DataError(str(error), hint=f"{error.hint}; {without}" if error.hint else without) from error
    given = _typed(task, preprocess or {}, opened.preprocess)
    typed = entry.check({**entry.spec.config, **(data or {})}, flag="--data")
    kept = card_options(entry, {name: typed[name] for name in data or {}})
    card = DatasetCard(name=entry.name, options=kept, fingerprint=opened.fingerprint)
    count, labels = task.labels or ("", "")
    dims = {**opened.dims, **({count: len(given[labels])} if labels in given else {})}
    return Feeding(task=task, dims=dims, preprocess={**opened.preprocess, **given}, dataset=card)


def require_feeding(feeding: Feeding, arguments: Mapping[str, Any], registry: Registry) -> None:
    """Raise OptionError unless the preprocessing fits the arguments of the model."""
    make_processor(registry, feeding.task.name).check_feeding(feeding.preprocess, arguments)


def fed_as_card(card: Card, data: Mapping[str, Any] | None, registry: Registry) -> Card:
    """Return a card with the fingerprint of its data, read as its preprocessing requires.

    Raises DataError if the data cannot be read in this way.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)  # that the fingerprint differs
        _, fed = open_fed(card, make_task(registry, card.task), registry, data=data)
    return replace(card, dataset=replace(card.dataset, fingerprint=fed.fingerprint))


def _published(spec: ArchitectureSpec) -> dict[str, Any]:
    """Return the size and the normalization of an architecture's published weights, if it has any."""
    first = next(iter(spec.all_pretrained().values()), Pretrained())
    found = {"size": first.size, "mean": [*first.mean], "std": [*first.std]}
    return {key: value for key, value in found.items() if value}


def _typed(task: TaskSpec, given: Mapping[str, Any], of_dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user sets, with the types of a card.

    Raises OptionError for an unknown key or an invalid value.
    """
    types = next((types for dim, types in _TYPES.items() if dim in task.dims), {})
    if known := types.keys() | of_dataset.keys():
        options.check_names(given, known, what="preprocess")
    typed = {key: _converted(value, types.get(key), what=f"preprocess {key}") for key, value in given.items()}
    classes = Counter(typed.get("classes", ()) if "classes" in types else ())
    if repeated := [name for name, count in classes.items() if count > 1]:
        message = f"preprocess classes lists {repeated[0]!r:.40} more than once"
        raise OptionError(message, hint="give each class a different name")
    return typed


def _converted(value: object, type_: Any, *, what: str) -> Any:
    if type_ is None:
        return options.plain(value)
    if what == "preprocess classes" and str(value).isdecimal():
        return [str(number) for number in range(options.convert(value, cast("type[int]", Count), what=what))]
    if type_ == tuple[float, ...] and isinstance(value, str):  # `0.5,.5`, or `(0.5, 0.5)` as in Python
        words = [word.strip() for word in value.strip("()[]").split(",")]
        return [options.convert(options.Typed(word), float, what=what) for word in words if word]
    converted = options.convert(value, type_, what=what)
    return [*converted] if isinstance(converted, tuple) else converted


def _dims(task: TaskSpec, given: Mapping[str, Any]) -> dict[str, int]:
    """Return a task's dims from what the user sets. Raises OptionError if they do not follow from it."""
    types = next((types for dim, types in _TYPES.items() if dim in task.dims), None)
    if types is None:
        message = (
            f"the dataset that the model was trained on is required, as it determines {', '.join(task.dims)}"
        )
        raise OptionError(message, hint="pass --dataset NAME")
    missing = [key for key in types if key not in given and key not in _OPTIONAL]
    if missing:
        message = f"the dataset that the model was trained on is required, or {', '.join(missing)}"
        number = " (the names in order, or their number)" if "classes" in missing else ""
        raise OptionError(message, hint=f"pass --dataset NAME, or {_options(missing)}{number}")
    found: dict[str, int] = {"in_channels": len(given.get("mean", ())), "image_size": given.get("size", 0)}
    if task.labels:
        found[task.labels[0]] = len(given[task.labels[1]])
    return {name: found[name] for name in task.dims}


def _options(keys: Iterable[str]) -> str:
    """Return the options that set keys of `preprocess`, as users type them."""
    return " ".join(f"--preprocess {key}=..." for key in keys)
