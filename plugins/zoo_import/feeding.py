"""What a card says about a model's inputs: from a dataset, from the user, or from both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zoo
from zoo import DataError, OptionError, Registry, TaskSpec
from zoo.plugin import UNKNOWN_DATA, DatasetCard, decidable, make_processor, options

__all__ = ["Feeding", "feeding_of", "require_feeding"]

# The types of what tasks are known to need; everything else is taken as it is written
_TYPES: dict[str, Any] = {
    "size": int,
    "mean": tuple[float, ...],
    "std": tuple[float, ...],
    "classes": tuple[str, ...],
    "tokens": str,
    "lower": bool,
    "vocabulary": tuple[str, ...],
    "specials": int,
    "newline_eos": bool,
    "backwards": bool,
}
# What a task needs, by a dim that shows it
_NEEDED = {
    "image_size": ("size", "mean", "std", "classes"),
    "vocab_size": ("tokens", "lower", "vocabulary", "specials"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """The data that a model was trained on, as far as its card needs to know it.

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

    Raises OptionError if neither gives what the task needs, and the errors of `zoo.open_dataset`.
    """
    built = registry.architecture(architecture)
    given = {key: _typed(key, value) for key, value in (preprocess or {}).items()}
    if dataset is None:
        if data:
            raise OptionError("data contains options of a dataset, but no dataset is given")
        task = registry.task(built.spec.task)
        dims = _dims(task, given)
        card = DatasetCard(name=UNKNOWN_DATA, options={}, fingerprint="")
        return Feeding(task=task, dims=dims, preprocess=given, dataset=card)
    entry = registry.dataset(dataset)
    task = registry.shared_task(built, entry)
    try:
        opened = zoo.open_dataset(dataset, progress=progress, registry=registry, **(data or {}))
    except DataError as error:
        without = f"without the data, leave out --dataset and pass {_keys(task)}"
        raise DataError(str(error), hint=f"{error.hint}; {without}" if error.hint else without) from error
    typed, safe = entry.check({**entry.spec.config, **(data or {})}, flag="--data"), decidable(entry)
    kept = {
        name: typed[name]
        for name in data or {}
        if name in safe or isinstance(typed[name], bool | int | float)
    }
    card = DatasetCard(name=entry.name, options=kept, fingerprint=opened.fingerprint)
    return Feeding(task=task, dims=opened.dims, preprocess={**opened.preprocess, **given}, dataset=card)


def require_feeding(feeding: Feeding, arguments: Mapping[str, Any], registry: Registry) -> None:
    """Raise OptionError unless the preprocessing is complete, and fits the arguments of the model."""
    try:
        make_processor(registry, feeding.task.name).check_feeding(feeding.preprocess, arguments)
    except OptionError as error:
        raise OptionError(str(error), hint=_hint(feeding.task)) from None


def _typed(key: str, value: object) -> Any:
    type_ = _TYPES.get(key)
    if type_ is None:
        return options.plain(value)
    what = f"preprocess {key}"
    if type_ == tuple[float, ...] and isinstance(value, str):  # `0.5,.5`, or `(0.5, 0.5)` as in Python
        words = value.strip("()[]").split(",")
        return [
            options.convert(options.Typed(word.strip()), float, what=what) for word in words if word.strip()
        ]
    converted = options.convert(value, type_, what=what)
    return [*converted] if isinstance(converted, tuple) else converted


def _dims(task: TaskSpec, given: Mapping[str, Any]) -> dict[str, int]:
    """Return a task's dims, as far as they follow from the preprocessing.

    Raises OptionError if a dim does not.
    """
    count, labels = task.labels or ("", "")
    dims = {count: len(given[labels])} if labels in given else {}
    if "size" in given:
        dims["image_size"] = given["size"]
    if "mean" in given:
        dims["in_channels"] = len(given["mean"])
    if missing := [name for name in task.dims if name not in dims]:
        message = f"the dataset that the model was trained on is required, for {', '.join(missing)}"
        raise OptionError(message, hint=_hint(task))
    return {name: dims[name] for name in task.dims}


def _hint(task: TaskSpec) -> str:
    return f"pass --dataset NAME, which gives all of it, or {_keys(task)}"


def _keys(task: TaskSpec) -> str:
    """Return the options that give what a task needs, as users type them."""
    keys = next((keys for dim, keys in _NEEDED.items() if dim in task.dims), ("KEY",))
    return " ".join(f"--preprocess {key}=..." for key in keys)
