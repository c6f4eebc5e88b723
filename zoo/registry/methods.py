"""Entries that training options select by name, such as optimizers and schedules, and their own options."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from zoo.config import options
from zoo.config.declarations import Option, declared
from zoo.config.keywords import refuse_missing, refuse_unknown
from zoo.config.train_config import METHODS, TrainConfig, fields_of
from zoo.errors import OptionError
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AugmentationSpec

# The number of positional arguments of a target, and the other arguments that zoo fills in
_POSITIONAL = {"optimizer": 1, "schedule": 1, "augmentation": 2, "metric": 0}
_FILLED = {"optimizer": {*fields_of(TrainConfig), "model"}, "schedule": {*fields_of(TrainConfig), "position"}}
# Training options that only some targets read
_OPTIONAL = {"optimizer": ("momentum", "weight_decay"), "schedule": ("warmup_epochs",)}


def method(config: TrainConfig, kind: str, name: str) -> Entry[Any]:
    """Return the optimizer, schedule, augmentation or metric with the name that a configuration contains.

    If the configuration does not come from a registry, the name is looked up among the installed plugins.

    Raises OptionError.
    """
    found = (config.methods or _installed()).get((kind, name))
    if found is None:
        raise OptionError(f"unknown {kind} {name!r}", hint=f"`zoo list {kind}s` shows all names")
    return found


@functools.cache
def _installed() -> Mapping[tuple[str, str], Entry[Any]]:
    return Registry.discover().methods


def own_options(entry: Entry[Any]) -> Mapping[str, Option]:
    """Return the options of a method itself, without the arguments that zoo fills in."""
    options = declared(entry.load())
    filled = {*[*options][: _POSITIONAL[entry.kind]], *_FILLED.get(entry.kind, ())}
    return {name: option for name, option in options.items() if name not in filled}


def bound(config: TrainConfig, kind: str, **more: Any) -> partial[Any]:
    """Return the target of the optimizer or the schedule with all arguments but the first.

    Args:
        more: arguments other than training options; the target receives those that it declares.
    """
    target = method(config, kind, getattr(config, kind)).load()
    known = declared(target)
    fields = {name: getattr(config, name) for name in known if name in fields_of(TrainConfig)}
    given = {name: value for name, value in more.items() if name in known}
    return partial(target, **fields, **given, **getattr(config, f"{kind}_options"))


def augmentations(config: TrainConfig) -> list[tuple[AugmentationSpec, Callable[[Any, Any], Any]]]:
    """Return the augmentations of a configuration in order: the spec, and a function with its options set.

    The function maps uint8 images (B, C, H, W) and `Draws` to new images.

    Raises OptionError for an unknown name.
    """
    fields = config.to_dict()
    names, given = fields.get("augment", ()), fields.get("augment_options", {})
    entries = [method(config, "augmentation", name) for name in names]
    return [(entry.spec, partial(entry.load(), **own_of(given, entry))) for entry in entries]


def own_of(given: Mapping[str, Any], entry: Entry[Any]) -> dict[str, Any]:
    """Return the options of one of several entries: `{"p": 1}` for `{"random-erasing.p": 1}`."""
    names = {entry.spec.name, entry.name}
    parts = {key: key.replace("_", "-").rpartition(".") for key in given}
    return {key.rpartition(".")[2]: given[key] for key, (name, _, _) in parts.items() if name in names}


def with_checked_methods(config: TrainConfig, said: Mapping[str, Any]) -> TrainConfig:
    """Return a configuration with valid options of the optimizer, schedule, augmentations and metrics.

    A training option that they do not read, such as `momentum`, is set to 0.

    Args:
        said: the training options that the user or the recipe sets.

    Raises OptionError for an option that is unknown, missing or invalid, or has no effect.
    """
    changes: dict[str, Any] = {}
    for kind in ("optimizer", "schedule"):
        entry = method(config, kind, getattr(config, kind))
        changes[f"{kind}_options"] = _checked(entry, getattr(config, f"{kind}_options"))
        for name in {*_OPTIONAL[kind]} - declared(entry.load()).keys():
            if said.get(name):
                what = f"{options.text(said[name])} has no effect: the {kind} {entry.name} ignores it"
                raise OptionError(f"{name}={what}")
            changes[name] = 0.0
    fields = config.to_dict()
    names = {"augmentation": fields.get("augment", ()), "metric": [*config.metrics, config.loss]}
    for kind in names:
        given = fields.get(f"{METHODS[kind]}_options", {})
        entries = [method(config, kind, name) for name in names[kind] if name]
        if given or entries:
            changes[f"{METHODS[kind]}_options"] = all_checked(kind, given, entries)
    return config.replace(changes)


def all_checked(kind: str, given: Mapping[str, Any], entries: Sequence[Entry[Any]]) -> dict[str, Any]:
    """Return the options of several methods of a kind, `NAME.OPTION`, converted to their types."""
    checked: dict[str, Any] = {}
    for entry in entries:
        own = _checked(entry, own_of(given, entry))
        checked |= {f"{entry.spec.name}.{option}": value for option, value in own.items()}
    if unknown := [key for key in given if not any(own_of({key: 0}, entry) for entry in entries)]:
        hint = f"write NAME.OPTION=VALUE, where NAME is one of the selected {kind}s"
        raise OptionError(f"{unknown[0]!r} is not an option of the selected {kind}s", hint=hint)
    return checked


def _checked(entry: Entry[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a method, converted to their types. Raises OptionError."""
    what, own = f"{entry.kind} {entry.name}", own_options(entry)
    refuse_unknown(given, own, what=what)
    prefix = "" if entry.kind in _OPTIONAL else f"{entry.spec.name}."
    required = [f"{prefix}{name}" for name, option in own.items() if option.required]
    flag = f"--{METHODS[entry.kind].removesuffix('s')}-option"
    refuse_missing({f"{prefix}{name}" for name in given}, required, what=what, flag=flag)
    return {
        name: options.convert(value, own[name].type, what=f"{what}: {name}") for name, value in given.items()
    }
