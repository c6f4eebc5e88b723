"""Everything the registry holds, as names and as rows of plain data. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.api.where import parse_where
from zoo.config.arguments import checked
from zoo.errors import warn
from zoo.registry.registry import Registry, matches
from zoo.registry.specs import ArchitectureSpec, DatasetSpec

__all__ = [
    "KINDS",
    "default_registry",
    "figure",
    "figures",
    "headline",
    "list_analyzers",
    "list_datasets",
    "list_models",
    "list_plugins",
    "list_recipes",
    "list_weights",
    "rows",
]

KINDS = ("architecture", "dataset", "analyzer", "recipe", "weights", "task", "group")


def default_registry() -> Registry:
    """Return what `Registry.discover()` finds, and warn of the plugins that are not there and why."""
    registry = Registry.discover()
    for line in (*registry.problems(), *registry.notices()):
        warn(line)
    return registry


@checked
def list_models(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of architectures, which `create_model` and `train` accept.

    Args:
        pattern: a glob such as `resnet*`, or a part of the name.
        where: comparisons such as `task=classification and params<1e6`.

    Raises OptionError if `where` is not a comparison, or compares a key that no entry has.
    """
    return _names("architecture", pattern, where)


@checked
def list_datasets(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of datasets; arguments as in `list_models`."""
    return _names("dataset", pattern, where)


@checked
def list_analyzers(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of analyzers; arguments as in `list_models`."""
    return _names("analyzer", pattern, where)


@checked
def list_recipes(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the names of recipes; arguments as in `list_models`."""
    return _names("recipe", pattern, where)


@checked
def list_weights(pattern: str | None = None, *, where: str | None = None) -> list[str]:
    """Return the ids of published weights, which `load` accepts; arguments as in `list_models`."""
    return _names("weights", pattern, where)


@checked
def list_plugins(registry: Registry | None = None) -> list[dict[str, Any]]:
    """Return for each plugin its name, distribution, version, status, cause, entries and import time."""
    keys = ("name", "distribution", "version", "status", "cause", "provides", "import_ms")
    registry = Registry.discover() if registry is None else registry
    plugins = [{key: getattr(plugin, key) for key in keys} for plugin in registry.plugins]
    return [{**plugin, "provides": [*plugin["provides"]]} for plugin in plugins]


def rows(
    registry: Registry, kind: str | None = None, pattern: str | None = None, where: str | None = None
) -> list[dict[str, Any]]:
    """Return a row of plain data for each entry, recipe and weights file, optionally filtered.

    Raises OptionError if `where` is not a comparison, or compares a key that no row has.
    """
    holds, everything = parse_where(where), (*_entries(registry), *_recipes(registry), *_weights(registry))
    listed = [row for row in everything if kind in (None, row["kind"])]
    holds.check(listed, what=f"entry of kind {kind}" if kind else "entry")
    return [row for row in listed if (pattern is None or matches(row["name"], pattern)) and holds(row)]


def headline(metrics: Mapping[str, float]) -> str:
    """Return the metric that models are compared by, with its unit; empty if there is none.

    >>> headline({"accuracy": 0.9129, "loss": 0.2677})
    '91.3 % accuracy'
    >>> headline({"loss": 1.2661, "bits_per_char": 1.8266, "perplexity": 3.547})
    '1.27 nats per character'
    """
    if "accuracy" in metrics:
        return f"{100 * metrics['accuracy']:.1f} % accuracy"
    if "perplexity" in metrics:
        return f"{metrics['loss']:.2f} nats per {'character' if 'bits_per_char' in metrics else 'token'}"
    return f"loss {metrics['loss']:.4g}" if "loss" in metrics else ""


def figure(name: str, value: float) -> str:
    """Return a metric with its unit.

    >>> figure("accuracy", 0.9129)
    '91.29 %'
    """
    units = {"loss": " nats", "bits_per_char": " bits per character", "bits_per_token": " bits per token"}
    if name == "accuracy":
        return f"{100 * value:.2f} %"
    return f"{value:.4f}{units[name]}" if name in units and abs(value) < 1e4 else f"{value:.4g}"


def figures(metrics: Mapping[str, float]) -> str:
    """Return all metrics with their units, those that models are compared by first.

    >>> figures({"loss": 0.2677, "accuracy": 0.9129, "bits_per_char": 0.3862})
    'accuracy 91.29 %, loss 0.2677 nats, 0.3862 bits per character'
    """
    names = sorted(metrics, key=lambda name: (name != "accuracy", name != "loss"))
    labels = {name: "" if name.startswith("bits_per_") else f"{name.replace('_', ' ')} " for name in names}
    return ", ".join(f"{labels[name]}{figure(name, metrics[name])}" for name in names)


def _names(kind: str, pattern: str | None, where: str | None) -> list[str]:
    registry = default_registry()
    full = [row["name"] for row in rows(registry, kind)]
    short = [name.rpartition("/")[2] for name in full]
    chosen = {row["name"] for row in rows(registry, kind, pattern, where)}
    return [s if short.count(s) == 1 else f for f, s in zip(full, short, strict=True) if f in chosen]


def _row(kind: str, name: str, plugin: str, task: str, summary: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, "plugin": plugin, "task": task, "summary": summary} | more


def _entries(registry: Registry) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for entry in registry.entries():
        spec, task = entry.spec, ", ".join(entry.tasks)
        row = _row(entry.kind, entry.name, entry.plugin.name, task, spec.summary, source=spec.source)
        if isinstance(spec, ArchitectureSpec):
            row |= {"params": spec.parameters or None}
        if isinstance(spec, DatasetSpec):
            row |= {"download_bytes": spec.download_bytes, "license": spec.license}
        listed.append(row)
    return sorted(listed, key=lambda row: KINDS.index(row["kind"]))


def _recipes(registry: Registry) -> list[dict[str, Any]]:
    tasks = _tasks(registry)
    listed: list[dict[str, Any]] = []
    for name, recipe in registry.recipes.items():
        architecture, dataset = recipe.architecture, recipe.dataset
        plugin = _owner(name, architecture)
        summary = recipe.summary or f"{architecture} on {dataset}"
        task = tasks.get(architecture, "")
        more = {"architecture": architecture, "dataset": dataset}
        listed.append(_row("recipe", name, plugin, task, summary, **more))
    return listed


def _weights(registry: Registry) -> list[dict[str, Any]]:
    tasks = _tasks(registry)
    listed: list[dict[str, Any]] = []
    for name, weights in registry.weights.items():
        recipe = registry.recipes.get(weights.recipe)
        architecture = recipe.architecture if recipe else ""
        metrics = weights.metrics.get("val", {}) | weights.metrics.get("test", {})
        parts = [headline(metrics), f"{weights.params:,} parameters"]
        parts += [f"recipe {weights.recipe}"] if weights.recipe != name else []
        summary = ", ".join(filter(None, parts))
        more = {"params": weights.params, "bytes": weights.bytes, "license": weights.license} | metrics
        plugin, task = _owner(name, architecture), tasks.get(architecture, "")
        listed.append(_row("weights", name, plugin, task, summary, **more))
    return listed


def _owner(name: str, architecture: str) -> str:
    """Return the plugin that brings a recipe or weights; of those in registry.toml, their architecture."""
    owner, slash, _ = (name if "/" in name else architecture).partition("/")
    return owner if slash else ""


def _tasks(registry: Registry) -> Mapping[str, str]:
    """Return the task of each architecture, by full and short name."""
    entries = registry.entries("architecture")
    return {name: entry.tasks[0] for entry in entries for name in (entry.spec.name, entry.name)}
