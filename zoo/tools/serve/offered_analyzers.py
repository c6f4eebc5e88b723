"""The analyzers that a server offers, as data from which the page builds a form."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from msgspec.inspect import type_info

from zoo.api.model import Model
from zoo.config.declarations import declared
from zoo.errors import SpecError
from zoo.registry.registry import Registry
from zoo.registry.specs import AnalyzerSpec

_TYPES = {
    "BoolType": "bool",
    "IntType": "int",
    "FloatType": "float",
    "StrType": "str",
    "LiteralType": "choice",
}


def analyzers_for(model: Model, registry: Registry) -> list[dict[str, Any]]:
    """Return a row for each analyzer that applies to a model, with its options.

    Analyzers that cannot be imported are omitted.
    """
    names = {*model.analyzers}
    found: list[dict[str, Any]] = []
    for entry in registry.entries_of(AnalyzerSpec):
        spec = entry.spec
        if spec.name not in names:
            continue
        with contextlib.suppress(SpecError):
            found.append(
                {
                    "name": spec.name,
                    "summary": spec.summary,
                    "ignores": [*spec.ignores],
                    "takes_layer": spec.takes_layer,
                    "reference": spec.reference,
                    "labels": spec.labels,
                    "options": option_rows(entry.load()),
                }
            )
    return found


def option_rows(target: Callable[..., Any]) -> list[dict[str, Any]]:
    """Return each option as JSON data: `{name, type, default, choices, minimum, maximum, help}`.

    The type is `bool`, `int`, `float`, `str`, `choice`, or `other`; a missing bound is None. Options without
    a default are omitted.
    """
    return [
        {"name": name, "default": option.default, **_kind(option.type, option.default), "help": option.help}
        for name, option in declared(target).items()
        if not option.required
    ]


def _kind(type_: Any, default: object) -> dict[str, Any]:
    """Return the type, the choices and the bounds of an option."""
    try:
        info: Any = type_info(type(default) if type_ is Any else type_)
    except TypeError:  # one that no option can have
        info = None
    choices = [*info.values] if type(info).__name__ == "LiteralType" else None
    word = "choice" if choices else _TYPES.get(type(info).__name__, "other")
    return {
        "type": word,
        "choices": choices,
        "minimum": getattr(info, "ge", None),
        "maximum": getattr(info, "le", None),
    }
