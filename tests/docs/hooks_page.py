"""docs/reference/hooks.md, made from the code: every hook, with the fields of the spec that it returns.

python -m tests.docs.hooks_page > docs/reference/hooks.md
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

from zoo.config.recipe import Recipe
from zoo.registry import hookspecs
from zoo.registry.published import WeightsSpec
from zoo.registry.specs import Landmark

LANDMARKS = ", ".join(f"`{name}`" for name in typing.get_args(Landmark))
START = f"""\
<!-- Generated: python -m tests.docs.hooks_page > docs/reference/hooks.md -->

# Hooks

Hooks are the functions that a plugin may implement. Most hooks return specs; `zoo_recipes` and
`zoo_weights` return dicts that map names to specs. A hook has no parameters, and must not open files or
import torch. Mark each hook with `@zoo.hookimpl`. In a package, the module with the hooks must not
import torch either; a one-file plugin may import torch at the top of the file.

All specs are immutable, accept only keyword arguments, and validate each field when they are created.
Import the specs from `zoo`. [Write a plugin](../how-to/write-a-plugin.md) links to a complete example of
each spec. [Plugins](plugins.md) lists the types of all other classes and functions.

| type | values |
|---|---|
| `Name` | lowercase letters, digits, and the characters `- . _ +` |
| `Count` | an integer of at least 0 |
| `OptionName` | the name of an option, which must be a Python identifier |
| `ExtraName` | the name of an extra of the plugin's distribution |
| `Suffix` | a lowercase suffix, such as `.onnx` |
| `Landmark` | {LANDMARKS}: see [Landmarks](plugins.md#landmarks) |
"""
HOOKS = {
    "zoo_architectures": "architecture",
    "zoo_datasets": "dataset",
    "zoo_analyzers": "analyzer",
    "zoo_tasks": "task",
    "zoo_training_options": "task",
    "zoo_optimizers": "optimizer",
    "zoo_schedules": "schedule",
    "zoo_augmentations": "augmentation",
    "zoo_metrics": "metric",
    "zoo_tokenizers": "tokenizer",
    "zoo_commands": "command",
    "zoo_exporters": "exporter",
    "zoo_trackers": "tracker",
    "zoo_recipes": "recipes-and-weights",
    "zoo_weights": "recipes-and-weights",
}
"""Each hook, and the page that shows how to use it."""

TITLES = {
    "architecture": "Write an architecture",
    "dataset": "Write a dataset",
    "analyzer": "Write an analyzer",
    "task": "Write a task",
    "optimizer": "Write an optimizer",
    "schedule": "Write a schedule",
    "augmentation": "Write an augmentation",
    "metric": "Write a metric or a loss",
    "tokenizer": "Write a tokenizer",
    "command": "Write a command",
    "exporter": "Write an exporter",
    "tracker": "Write a tracker",
    "recipes-and-weights": "Publish recipes and weights",
}
"""The title of each of these pages."""

COMMON = {
    "name": "the name of the entry, which must be unique among its plugin's entries of the same kind",
    "summary": "a one-line summary for `zoo list`, with at most 100 characters",
    "target": 'the import string of the code, `"package.module:Name"`; zoo imports it only when needed',
    "task": "the name of the task",
    "architecture": "the name of the architecture",
    "dataset": "the name of the dataset",
    "seed": "the random seed for initialization, shuffling, augmentation and dropout",
    "config": "the options that the preset sets, such as `{'depth': 20}`",
    "source": "the paper, lesson or web page on which the entry is based",
    "license": "the license",
    "download_bytes": "the size of the download, or 0",
    "sha256": "the sha256 of the file, which zoo verifies on every use",
}
"""The meanings of fields that several specs have; a docstring takes precedence."""


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield START
    for hook, how_to in HOOKS.items():
        function = getattr(hookspecs, hook)
        returned = typing.get_type_hints(function, localns={"Recipe": Recipe, "WeightsSpec": WeightsSpec})
        specs = (
            typing.get_args(typing.get_args(returned["return"])[-1])
            or typing.get_args(returned["return"])[-1:]
        )
        signature = str(inspect.signature(function)).replace("'", "")
        yield f"## `{hook}`\n\n```python\ndef {hook}{signature}: ...\n```\n"
        yield f"{inspect.getdoc(function)} Example: [{TITLES[how_to]}](../how-to/plugins/{how_to}.md).\n"
        for spec in specs:
            yield f"`{spec.__name__}`: {_first(spec)}\n"
            yield _fields(spec)


def _fields(spec: type[Any]) -> str:
    """Return a table of a spec's fields."""
    meanings = _meanings(spec)
    types = dict(_types(spec))
    lines = ["| field | meaning | type | default |", "|---|---|---|---|"]
    for field in sorted(dataclasses.fields(spec), key=lambda field: field.name == "expected_failures"):
        cells = (f"`{field.name}`", meanings[field.name], f"`{types[field.name]}`", _default(field))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _meanings(spec: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a spec and its bases say of each field."""
    found = dict(COMMON)
    for owner in reversed(spec.__mro__):
        attributes = (inspect.cleandoc(owner.__doc__ or "")).partition("Attributes:\n")[2]
        for names, meaning in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", attributes, re.M):
            for name in names.split(", "):
                found[name] = _public(" ".join(meaning.split()).removesuffix("."))
    return {name: f"{text[0].upper()}{text[1:]}" for name, text in found.items()}


def _public(text: str) -> str:
    """Return a text that names a class by the module from which plugins import it."""
    return re.sub(r"zoo\.(?:processors|files\.exported)\.", "zoo.plugin.", text)


def _types(spec: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the type of each field as the source has them, without bounds."""
    for owner in spec.__mro__[:-1]:
        (node,) = ast.parse(inspect.getsource(owner)).body
        for line in ast.walk(node):
            if isinstance(line, ast.AnnAssign):
                annotation = ast.unparse(line.annotation)
                yield ast.unparse(line.target), re.sub(r"Annotated\[(\w+), Meta\(.*?\)\]", r"\1", annotation)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()!r}`"
    return "required"


def _first(documented: Callable[..., Any] | type[Any]) -> str:
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    print(page(), end="")
