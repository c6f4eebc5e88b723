"""docs/reference/options.md, made from the code: every training option and every option of what zoo ships.

python -m tests.docs.options_page > docs/reference/options.md
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.inspect import type_info

from zoo.config import options
from zoo.config.declarations import Option, declared
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec

__all__ = ["Row", "page", "rows", "table"]

START = """\
<!-- Generated: python -m tests.docs.options_page > docs/reference/options.md -->

# Options

This page lists all training options, and all options of the architectures, datasets and analyzers that
come with zoo. For entries from other plugins, use `zoo show NAME`.

Write values as shown in the tables. Separate the items of a list with commas (`--augment crop,flip`), write
`none` for an empty list, and use TOML syntax for a table (`{a = 1}`).
"""
FIELDS = """\
## Training options

Set these options with `--batch-size 64` on the command line, `batch_size=64` in Python, and `train = {
batch_size = 64 }` in a recipe. The tables show the defaults of `TrainConfig`; many [architectures
override these defaults](#training-options-of-the-architectures). `zoo train NAME --help` shows the
values for a recipe or an architecture. For many options, 0 means off.
"""
ARCHITECTURES = """\
## Training options of the architectures

For each architecture, this table lists the defaults that differ from those in the tables above. Recipes and
explicit options take precedence over these defaults. `zoo show RECIPE` prints the values for a recipe. The
architecture `resnet50` stands for all of [timm's models](../how-to/pretrained-on-imagenet.md).
"""
KINDS = {
    "architecture": (
        "Options of architectures",
        "Set these options with `--model KEY=VALUE` on the command line, `model={...}` in Python, and\n"
        "`model = { ... }` in a recipe. zoo sets `in_channels`, `image_size` and `num_classes` (for images)\n"
        "or `vocab_size` (for text) to match the data.",
    ),
    "dataset": (
        "Options of datasets",
        "Set these options with `--data KEY=VALUE` on the command line, `data={...}` in Python, and\n"
        "`data = { ... }` in a recipe.",
    ),
    "analyzer": (
        "Options of analyzers",
        "Set these options with `--option KEY=VALUE` in `zoo analyze`, and `options={...}` in Python.",
    ),
}


class Row(NamedTuple):
    """One option as the tables have it."""

    name: str
    meaning: str
    values: str
    default: str


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    registry = Registry.discover()
    yield START
    yield FIELDS
    yield f"### Every task\n\n{_fields('', registry)}"
    for entry in registry.entries("group"):
        if entry.plugin.ours:
            name, tasks = entry.spec.name, registry.tasks.values()
            having = ", ".join(f"`{task.name}`" for task in tasks if name in task.groups)
            yield f"### {entry.spec.summary}\n\nTasks: {having}.\n\n{_fields(name, registry)}"
    yield ARCHITECTURES
    yield _trainings(registry)
    for kind, (title, about) in KINDS.items():
        yield f"## {title}\n\n{about}\n"
        entries = [entry for entry in registry.entries(kind) if _is_shown(entry)]  # type: ignore[arg-type]
        for plugin, group in itertools.groupby(entries, key=lambda entry: entry.plugin.name):
            yield from _of_plugin(plugin, [*group], registry)


def _is_shown(entry: Entry[Any]) -> bool:
    """Return whether an entry is one of zoo's own; one of timm's models stands for all of them."""
    return entry.plugin.ours and (entry.plugin.name != "timm" or entry.name == "timm/resnet50")


def _fields(group: str, registry: Registry) -> str:
    """Return a table of the training options of one group."""
    fields = [field for field in registry.training_options.values() if field.group == group]
    return table(map(_row, fields))


def _trainings(registry: Registry) -> str:
    """Return a table of what each architecture's own training configuration changes."""
    lines = ["| architecture | training options |", "|---|---|"]
    for entry in registry.entries("architecture"):
        if isinstance(entry.spec, ArchitectureSpec) and _is_shown(entry):
            changed = registry.usual_config(entry).changed().items()  # type: ignore[arg-type]
            lines.append(f"| `{entry.spec.name}` | {_settings(dict(changed))} |")
    return "\n".join(lines) + "\n"


def _of_plugin(plugin: str, entries: list[Entry[Any]], registry: Registry) -> Iterator[str]:
    """Yield the options that all entries of a plugin have, then those of each target and its presets."""
    groups = [[*group] for _, group in itertools.groupby(entries, key=lambda entry: entry.spec.target)]
    tables = [rows(group[0], registry) for group in groups]
    shared = [row for row in tables[0] if all(row in each for each in tables)] if len(groups) > 1 else []
    if shared:
        yield f"### Every {entries[0].kind} of `{plugin}`\n\n{table(shared)}"
    for group, having in zip(groups, tables, strict=True):
        own = [row for row in having if row not in shared]
        fixed = {entry.spec.name: getattr(entry.spec, "config", {}) for entry in group}
        presets = [f"The preset `{name}` sets {_listed(config)}." for name, config in fixed.items() if config]
        if own or presets:
            yield f"### {', '.join(f'`{entry.name}`' for entry in group)}\n"
        if presets:
            yield "\n".join(presets) + "\n"
        if own:
            yield table(own)


def rows(entry: Entry[Any], registry: Registry) -> list[Row]:
    """Return the options of an entry, without those that the data fills in."""
    target = entry.load()
    filled = registry.task(entry.tasks[0]).dims if entry.kind == "architecture" else {}
    return [_row(option) for name, option in declared(target).items() if name not in filled]


def table(shown: Iterable[Row]) -> str:
    """Return a table of options."""
    lines = ["| option | meaning | values | default |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {meaning[0].upper()}{meaning[1:]} | {values} | {default} |"
        for name, meaning, values, default in shown
    ]
    return "\n".join(lines) + "\n"


def _settings(table: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}={options.text(value)}`" for name, value in table.items())


def _listed(table: Mapping[str, object]) -> str:
    *others, last = (_settings({name: value}) for name, value in table.items())
    return f"{', '.join(others)}{',' * (len(others) > 1)} and {last}" if others else last


def _row(option: Option) -> Row:
    text = options.text(option.default)
    default = "required" if option.required else f"`{text}`" if text else "empty"
    return Row(option.name, option.help, _values(type_info(option.type)), default)


def _values(info: Any) -> str:
    """Return what a value may be, its range included."""
    kind = type(info).__name__.removesuffix("Type")
    if kind == "Metadata":
        return _values(info.type)
    if kind == "Literal":
        return ", ".join(f"`{value}`" for value in info.values)
    if kind == "Union":
        return " or ".join(_values(part) for part in info.types)
    if kind in ("VarTuple", "List", "Collection"):
        word, space, bounds = _values(info.item_type).partition(" ")
        return f"list of {word}{'' if word[0] == '`' else 's'}{space}{bounds}"
    if kind == "Any":
        return ""
    if kind == "Dict":
        word, space, bounds = _values(info.value_type).partition(" ")
        return f"table of {word}s{space}{bounds}" if word else "table"
    if kind == "Bool":
        return "`true`, `false`"
    word = {"Int": "integer", "Float": "number", "Str": "string", "None": "`none`"}[kind]
    return " ".join(filter(None, (word, _range(info) if kind in ("Int", "Float") else "")))


def _range(info: Any) -> str:
    """Return the bounds of a number, without those that only keep it from overflowing."""
    bounds = (("≥", info.ge), (">", info.gt), ("≤", info.le), ("<", info.lt))
    return ", ".join(f"{sign} {bound:,}" for sign, bound in bounds if bound is not None and abs(bound) < 1e9)


if __name__ == "__main__":
    print(page(), end="")
