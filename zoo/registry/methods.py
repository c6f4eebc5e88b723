"""Optimizers and schedules: what training options choose by name, with options of their own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo.config import options
from zoo.config.declarations import Option, declared
from zoo.config.keywords import refuse_missing, refuse_unknown
from zoo.config.train_config import METHODS, TrainConfig, fields_of
from zoo.errors import OptionError
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import MethodSpec

# Arguments that zoo fills in, besides those with the name of a training option
_FILLED = {"optimizer": "model", "schedule": "position"}
# Training options that only some targets read
_OPTIONAL = {"optimizer": ("momentum", "weight_decay"), "schedule": ("warmup_epochs",)}


def method(config: TrainConfig, kind: str) -> Entry[MethodSpec]:
    """Return the optimizer or the schedule that a configuration names.

    A configuration that does not come from a registry finds it among the installed plugins.

    Raises OptionError.
    """
    key = (kind, getattr(config, kind))
    found = (config.methods or _installed()).get(key)
    if found is None:
        raise OptionError(f"unknown {kind} {key[1]!r}", hint=f"`zoo list {kind}s` shows all names")
    return found


@functools.cache
def _installed() -> Mapping[tuple[str, str], Entry[MethodSpec]]:
    return Registry.discover().methods


def own_options(entry: Entry[Any]) -> Mapping[str, Option]:
    """Return the options of an optimizer or a schedule itself, without what zoo fills in."""
    filled = {*fields_of(TrainConfig), _FILLED[entry.kind]}
    _, *options = declared(entry.load()).values()  # the first one is for the groups or the progress
    return {option.name: option for option in options if option.name not in filled}


def bound(config: TrainConfig, kind: str, **more: Any) -> partial[Any]:
    """Return the target of an optimizer or a schedule with all arguments but the first.

    Args:
        more: arguments besides the training options; the target gets those that it declares.
    """
    target = method(config, kind).load()
    known = declared(target)
    fields = {name: getattr(config, name) for name in known if name in fields_of(TrainConfig)}
    given = {name: value for name, value in more.items() if name in known}
    return partial(target, **fields, **given, **getattr(config, f"{kind}_options"))


def with_checked_methods(config: TrainConfig, said: Mapping[str, Any]) -> TrainConfig:
    """Return a configuration whose optimizer and schedule have valid options.

    A training option that they do not read, such as `momentum`, is set to 0.

    Args:
        said: the training options that the user or the recipe sets.

    Raises OptionError for an option that is unknown, missing or invalid, or has no effect.
    """
    changes: dict[str, Any] = {}
    for kind in METHODS:
        entry, given = method(config, kind), getattr(config, f"{kind}_options")
        what, own = f"{kind} {entry.name}", own_options(entry)
        refuse_unknown(given, own, what=what)
        required = [name for name, option in own.items() if option.required]
        refuse_missing(given, required, what=what, flag=f"--{kind}-option")
        changes[f"{kind}_options"] = {
            name: options.convert(value, own[name].type, what=f"{what}: {name}")
            for name, value in given.items()
        }
        for name in {*_OPTIONAL[kind]} - declared(entry.load()).keys():
            if said.get(name):
                raise OptionError(f"{name}={options.text(said[name])} has no effect: the {what} ignores it")
            changes[name] = 0.0
    return config.replace(changes)
