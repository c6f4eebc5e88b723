"""Entries that training options select by name, such as optimizers and schedules, and their own options."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from zoo.config import options
from zoo.config.declarations import Option, declared
from zoo.config.keywords import refuse_missing, refuse_unknown
from zoo.config.layers import Layers, blaming
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import OptionError
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AugmentationSpec

# The number of positional arguments of a target, and the other arguments that zoo fills in
_POSITIONAL = {"optimizer": 1, "schedule": 1, "augmentation": 2, "metric": 0}
_FILLED = {
    "optimizer": {*fields_of(TrainConfig), "model"},
    "schedule": {*fields_of(TrainConfig), "position", "history"},
}


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
    filled = {*[*options][: _POSITIONAL.get(entry.kind, 0)], *_FILLED.get(entry.kind, ())}
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
    values, found = config.to_dict(), list[tuple[AugmentationSpec, Callable[[Any, Any], Any]]]()
    for option in config.fields.values():
        if option.names == "augmentation":
            entries = [method(config, "augmentation", name) for name in values[option.name]]
            given = values[f"{option.name}_options"]
            found += [(entry.spec, partial(entry.load(), **own_of(given, entry))) for entry in entries]
    return found


def own_of(given: Mapping[str, Any], entry: Entry[Any]) -> dict[str, Any]:
    """Return the options of one of several entries: `{"p": 1}` for `{"random-erasing.p": 1}`."""
    names = {entry.spec.name, entry.name}
    parts = {key: key.replace("_", "-").rpartition(".") for key in given}
    return {key.rpartition(".")[2]: given[key] for key, (name, _, _) in parts.items() if name in names}


def with_checked_methods(layers: Layers) -> Layers:
    """Return training options with valid options of the optimizer, schedule, augmentations and metrics.

    A training option that the optimizer or the schedule does not read, such as `momentum`, is set to 0.

    Raises OptionError for an option that is unknown, missing or invalid, or has no effect.
    """
    chosen: dict[str, list[Entry[Any]]] = {}  # by training option; the options of a loss are in the metrics'
    for name, option in layers.known.items():
        if option.names:
            value, source = layers.merged[name]
            names = (value,) if isinstance(value, str) else value
            with blaming(source):
                found = [method(layers.defaults, option.names, each) for each in names if each]
            chosen.setdefault("metrics" if name == "loss" else name, []).extend(found)
    for name, entries in chosen.items():
        table = layers.known[f"{name}_options"]
        value, source = layers.merged[table.name]
        with blaming(source):
            if layers.known[name].type is str:
                checked = _checked(entries[0], value, flag=table.typed)
            else:
                checked = all_checked(value, entries, kind=layers.known[name].names, flag=table.typed)
        layers = layers.converted(table.name, checked)
    for name, option in layers.known.items():
        if option.read_by and name not in declared(chosen[option.read_by][0].load()):
            layers = _ignored(layers, name, by=f"{option.read_by} {chosen[option.read_by][0].name}")
    return layers


def _ignored(layers: Layers, name: str, *, by: str) -> Layers:
    """Return the layers with 0 for an option that has no effect. Raises OptionError if it is given."""
    value, source = layers.merged[name]
    if value and layers.gives(name):
        with blaming(source):
            raise OptionError(f"{name}={options.text(value)} has no effect: the {by} ignores it")
    return layers.suggest(by, {name: 0.0})


def all_checked(
    given: Mapping[str, Any], entries: Sequence[Entry[Any]], *, kind: str, flag: str
) -> dict[str, Any]:
    """Return the options of several methods of a kind, `NAME.OPTION`, converted to their types."""
    checked: dict[str, Any] = {}
    for entry in entries:
        own = _checked(entry, own_of(given, entry), flag=flag, prefix=f"{entry.spec.name}.")
        checked |= {f"{entry.spec.name}.{option}": value for option, value in own.items()}
    if unknown := [key for key in given if not any(own_of({key: 0}, entry) for entry in entries)]:
        hint = f"write NAME.OPTION=VALUE, where NAME is one of the selected {kind}s"
        raise OptionError(f"{unknown[0]!r} is not an option of the selected {kind}s", hint=hint)
    return checked


def _checked(entry: Entry[Any], given: Mapping[str, Any], *, flag: str, prefix: str = "") -> dict[str, Any]:
    """Return the options of a method, converted to their types. Raises OptionError."""
    what, own = f"{entry.kind} {entry.name}", own_options(entry)
    refuse_unknown(given, own, what=what)
    required = [f"{prefix}{name}" for name, option in own.items() if option.required]
    refuse_missing({f"{prefix}{name}" for name in given}, required, what=what, flag=flag)
    return {
        name: options.convert(value, own[name].type, what=f"{what}: {name}") for name, value in given.items()
    }
