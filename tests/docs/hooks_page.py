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

START = """\
# Hooks

The functions that a plugin may implement. Each returns specs and does nothing else: it takes no
arguments, opens nothing and imports no torch. Mark it with `@zoo.hookimpl`. The page is made from the
code: `python -m tests.docs.hooks_page > docs/reference/hooks.md`.

All specs are frozen, take keywords only and check each field when they are made. Import them from `zoo`.
[Write a plugin](../how-to/write-a-plugin.md) has a complete example of each; the types of other classes
and functions are in [plugins.md](plugins.md).

| type | values |
|---|---|
| `Name` | lower-case letters, digits and `- . _ +` |
| `Count` | an integer of at least 0 |
| `OptionName` | the name of an option, as in Python |
| `ExtraName` | the name of an extra of the distribution |
| `Suffix` | a suffix in lower case, such as `.onnx` |
| `Landmark` | `features`, `class_maps`, `mean_head` or `head`: see [landmarks](plugins.md#landmarks) |
"""
HOOKS = {
    "zoo_architectures": "architecture",
    "zoo_datasets": "dataset",
    "zoo_analyzers": "analyzer",
    "zoo_tasks": "task",
    "zoo_training_options": "task",
    "zoo_commands": "command",
    "zoo_exporters": "exporter",
    "zoo_recipes": "recipes-and-weights",
    "zoo_weights": "recipes-and-weights",
}
"""Each hook, and the page that shows how to use it."""

COMMON = {
    "name": "the name of the entry, unique in its plugin",
    "summary": "one line for `zoo list`, of at most 100 characters",
    "target": 'import string of the code, `"package.module:Name"`; imported only when it is used',
    "task": "the task that it is for",
    "architecture": "the name of the architecture",
    "dataset": "the name of the dataset",
    "seed": "the random seed for initialization, shuffling, augmentation and dropout",
    "config": "options that make this preset, such as `{'depth': 20}`",
    "source": "the paper, lesson or page that it comes from",
    "license": "the license",
    "download_bytes": "the size of the download, 0 if there is none",
    "sha256": "the checksum of the file, verified at every use",
}
"""What fields mean that several specs have; a docstring takes precedence."""


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield START
    for hook, how_to in HOOKS.items():
        function = getattr(hookspecs, hook)
        returned = typing.get_type_hints(function, localns={"Recipe": Recipe, "WeightsSpec": WeightsSpec})
        spec = typing.get_args(returned["return"])[-1]
        signature = str(inspect.signature(function)).replace("'", "")
        yield f"## `{hook}`\n\n```python\ndef {hook}{signature}: ...\n```\n"
        yield f"{inspect.getdoc(function)} Example: [{how_to}.md](../how-to/plugins/{how_to}.md).\n"
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
                found[name] = " ".join(meaning.split()).removesuffix(".")
    return {name: f"{text[0].upper()}{text[1:]}" for name, text in found.items()}


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
