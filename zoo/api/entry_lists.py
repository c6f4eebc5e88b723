"""List registry entries as names or as rows of plain data, without importing torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from zoo.config.arguments import checked
from zoo.config.recipe import Recipe
from zoo.console.figures import figures
from zoo.registry.name_index import KINDS
from zoo.registry.registry import Registry, default_registry
from zoo.registry.remotes import with_known_zoos, zoo_at
from zoo.registry.specs import ArchitectureSpec, DatasetSpec, SpecWithExtra
from zoo.registry.where import matching


@checked
def list_models(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of architectures, which `create_model` and `train` accept.

    Args:
        pattern: a glob such as `resnet*`, or part of a name.
        where: comparisons such as `task=classification and params<1e6`.

    Raises OptionError if `where` is not a valid expression, or uses an unknown key.
    """
    return _names("architecture", pattern, where)


@checked
def list_datasets(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of datasets. The arguments are as for `list_models`."""
    return _names("dataset", pattern, where)


@checked
def list_analyzers(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of analyzers. The arguments are as for `list_models`."""
    return _names("analyzer", pattern, where)


@checked
def list_recipes(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of recipes. The arguments are as for `list_models`."""
    return _names("recipe", pattern, where)


@checked
def list_weights(
    pattern: str | None = None, *, where: str | None = None, remote: str | None = None
) -> list[str]:
    """Return the ids of published weights, which `load` accepts. More arguments are as for `list_models`.

    They include the weights of remotes when these were last used, such as `team:shapes`.

    Args:
        remote: list only the weights of this zoo, the name of a remote or an address, after reading its
            index.

    Raises the errors of `add_remote` in addition.
    """
    return _names("weights", pattern, where, remote)


@checked
def list_plugins(registry: Registry | None = None) -> list[dict[str, Any]]:
    """Return a dict `{name, distribution, version, status, cause, provides, import_ms}` for each plugin.

    `cause` is the reason that the plugin failed to load.
    """
    keys = ("name", "distribution", "version", "status", "cause", "provides", "import_ms")
    registry = Registry.discover() if registry is None else registry
    plugins = [{key: getattr(plugin, key) for key in keys} for plugin in registry.plugins]
    return [{**plugin, "provides": [*plugin["provides"]]} for plugin in plugins]


def rows(
    registry: Registry, kind: str | None = None, pattern: str | None = None, where: str | None = None
) -> list[dict[str, Any]]:
    """Return a dict for each entry, recipe and weights file, optionally filtered.

    Raises OptionError if `where` is not a valid expression, or uses an unknown key.
    """
    everything = [*_entries(registry), *_recipes(registry), *_weights(registry)]
    listed = [row for row in everything if kind in (None, row["kind"])]
    if where is not None:
        listed = matching(listed, where, what=f"entry of kind {kind}" if kind else "entry")
    return [row for row in listed if pattern is None or matches(row["name"], pattern)]


def matches(name: str, pattern: str) -> bool:
    """Return whether a pattern is a substring of a name, or a glob that matches the full or short name."""
    if any(mark in pattern for mark in "*?["):
        return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.partition("/")[2], pattern)
    return pattern in name


def with_weights_of(registry: Registry, remote: str | None = None) -> Registry:
    """Return the registry to list: with the weights of all remotes as last used, or of only one zoo."""
    return with_known_zoos(registry) if remote is None else zoo_at(registry, remote)


def _names(kind: str, pattern: str | None, where: str | None, remote: str | None = None) -> list[str]:
    registry = default_registry()
    if kind in ("recipe", "weights"):
        registry = with_weights_of(registry, remote)
    return [shortest(registry, row) for row in rows(registry, kind, pattern, where)]


def shortest(registry: Registry, row: Mapping[str, Any]) -> str:
    """Return the name of an entry, without the plugin if no other plugin has an entry with this name."""
    short = row["name"].rpartition("/")[2]
    return short if len(registry.names.matching(short, row["kind"])) == 1 else row["name"]


def _row(kind: str, name: str, plugin: str, task: str, summary: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, "plugin": plugin, "task": task, "summary": summary} | more


def _entries(registry: Registry) -> list[dict[str, Any]]:
    served = {task: registry.served_from(task) for task in registry.tasks}
    listed: list[dict[str, Any]] = []
    for entry in registry.entries():
        spec, tasks = entry.spec, entry.tasks
        more: dict[str, Any] = {} if isinstance(spec, SpecWithExtra) else {"source": spec.source}
        if isinstance(spec, ArchitectureSpec):
            tasks = served[spec.task]
            more |= {"params": spec.parameters or None}
        if isinstance(spec, DatasetSpec):
            more |= {"download_bytes": spec.download_bytes, "license": spec.license}
        listed.append(_row(entry.kind, entry.name, entry.plugin.name, ", ".join(tasks), spec.summary, **more))
    return sorted(listed, key=lambda row: KINDS.index(row["kind"]))


def _recipes(registry: Registry) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for name, recipe in registry.recipes.items():
        architecture, dataset = recipe.architecture, recipe.dataset
        plugin = _owner(name, architecture)
        summary = recipe.summary or f"{architecture} on {dataset}"
        task = _task_of(registry, recipe)
        more = {"architecture": architecture, "dataset": dataset}
        listed.append(_row("recipe", name, plugin, task, summary, **more))
    return listed


def _weights(registry: Registry) -> list[dict[str, Any]]:
    from zoo.files.cache import data_home
    from zoo.registry.weights_files import at_hand  # not needed for the help of a command

    homes = data_home(None) if any(weights.url for weights in registry.weights.values()) else None
    listed: list[dict[str, Any]] = []
    for name, weights in registry.weights.items():
        recipe = registry.recipes.get(weights.recipe)
        architecture, dataset = (recipe.architecture, recipe.dataset) if recipe else ("", "")
        metrics = weights.metrics.get("val", {}) | weights.metrics.get("test", {})
        task = _task_of(registry, recipe) if recipe else ""
        spec = registry.tasks.get(task)
        best = {name: metrics[name] for name in metrics if spec and name == spec.primary_metric}
        parts = [figures(best, spec.units if spec else {}), f"{weights.params:,} parameters"]
        parts += [f"recipe {weights.recipe}"] if weights.recipe != name else []
        summary = ", ".join(filter(None, parts))
        more = metrics | {
            "architecture": architecture,
            "dataset": dataset,
            "seeds": max(1, len(weights.by_seed)),
            "params": weights.params,
            "bytes": weights.bytes,
            "at_hand": at_hand(name, weights, homes=homes) is not None,
            "license": weights.license,
        }
        listed.append(more | _row("weights", name, _owner(name, architecture), task, summary))
    return listed


def _owner(name: str, architecture: str) -> str:
    """Return the plugin of a recipe or weights file; for registry.toml, the plugin of its architecture."""
    owner, slash, _ = (name if "/" in name else architecture).partition("/")
    return owner if slash else ""


def _task_of(registry: Registry, recipe: Recipe) -> str:
    """Return a recipe's task, as `Registry.task_of` does; empty if a name in the recipe is unknown."""
    for kind, name in (("dataset", recipe.dataset), ("architecture", recipe.architecture)):
        if found := registry.names.matching(name, kind):
            return registry.entry(kind, found[0].name).tasks[0]
    return ""
