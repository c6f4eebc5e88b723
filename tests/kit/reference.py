"""The reference of docs/plugins.md, from the code."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

import zoo
from zoo import interfaces, testing
from zoo.files import downloads as fetch
from zoo.models import hooks
from zoo.registry import hookspecs, specs

HOOKS = ("zoo_architectures", "zoo_datasets", "zoo_analyzers")
SPECS = ("ArchitectureSpec", "DatasetSpec", "AnalyzerSpec")
RECORDS = ("Subject", "Batch", "Analysis")
CLASSES = ("Dataset", "Analyzer")


def reference() -> str:
    """Return a line for each hook, function and method, and one for each field of a record."""
    return "".join(f"{line}\n" for line in _lines()).lstrip("\n")


def _lines() -> Iterator[str]:
    yield from (_signature(name, getattr(hookspecs, name)) for name in HOOKS)
    for module, names in ((specs, SPECS), (interfaces, RECORDS)):
        for name in names:
            yield f"\n{name}"
            for field in dataclasses.fields(getattr(module, name)):
                yield f"    {field.name}: {field.type}{_default(field)}"
    for name in CLASSES:
        yield f"\n{name}"
        for member, value in vars(getattr(interfaces, name)).items():
            if isinstance(value, property):
                yield f"    {member} -> {value.fget.__annotations__['return']}"
            elif inspect.isfunction(value) and not member.startswith("_"):
                yield f"    {_signature(member, value)}"
    yield ""
    yield from (
        _signature(f"zoo.models.hooks.{name}", getattr(hooks, name)) for name in sorted(hooks.__all__)[1:]
    )
    yield from (
        _signature(f"zoo.files.downloads.{name}", getattr(fetch, name))
        for name in ("cache_home", "data_file", "made_once", "verified")
    )
    yield from (_signature(f"zoo.{name}", getattr(zoo, name)) for name in ("seed_for", "tokenize"))
    yield _signature("zoo.testing.contract", testing.contract)
    yield _signature("zoo.testing.run_checks", testing.run_checks)


def _signature(name: str, function: object) -> str:
    return f"{name}{inspect.signature(function)}".replace("'", "")


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f" = {field.default_factory()!r}" if field.type != "Recipe" else " = Recipe()"
    return ""
