"""The fields of a model card that the file and the registry know, without running the model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import msgspec

from zoo.console.figures import over_seeds
from zoo.data.vocabulary import WritesText
from zoo.files.cards import Card
from zoo.processors import ReadsInputs, make_processor
from zoo.registry.changed_options import changed_options
from zoo.registry.hub_weights import commit_of, license_of
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.registry.weights_files import published_spec

# What a spec says of an entry
_ABOUT = ("summary", "license", "source")


def known_fields(
    weights: str | Path,
    name: str | Path,
    path: Path,
    card: Card,
    registry: Registry,
    *,
    sha256: str,
    exported: bool = False,
) -> dict[str, Any]:
    """Return the fields as JSON data; those that are not known are empty.

    Args:
        weights: the id or path that the user gave.
        name: what to call it.
        path: the file, whose sha256 the caller knows.
        exported: whether it is an exported file.
    """
    published, task = published_spec(registry, weights), registry.tasks.get(card.task)
    recipe = registry.recipes.get(published.recipe) if published else None
    environment = msgspec.structs.asdict(card.environment)
    if published:
        environment |= {"seconds": 0, "cpu_seconds": published.seconds}
    classes: list[object] | None = card.preprocess.get("classes")
    own: dict[str, Any] = {"options": card.dataset.options, "fingerprint": card.dataset.fingerprint}
    if published and published.data_license:
        own["license"] = published.data_license
    return {
        "name": str(name),
        "hub_commit": commit_of(weights, path),
        "summary": recipe.summary if recipe else "",
        "task": _about(registry, "task", card.task),
        "architecture": _about(registry, "architecture", card.architecture),
        "dataset": _about(registry, "dataset", card.dataset.name) | own,
        "license": published.license if published else license_of(weights, path),
        "classes": [*map(str, classes)] if isinstance(classes, list) else [],
        **_commands(shlex.quote(str(name)), card, registry, published, exported=exported),
        "limits": _limits(card, registry),
        "metrics": dict(published.metrics if published else card.metrics),
        "intervals": dict(published.intervals if published and published.intervals else card.intervals),
        "units": {**registry.metric_units, **(task.units if task else {})},
        "primary_metric": task.primary_metric if task else "",
        "by_seed": card.by_seed,
        "spread": over_seeds(card.by_seed, task) if task else "",
        "calibration": card.calibration,
        "recipe": published.recipe if published else "",
        "training": changed_options(card, registry),
        "seed": card.seed,
        "progress": card.progress,
        "changes": [*card.changes],
        "base_model": card.base_model,
        "environment": {key: value for key, value in environment.items() if value},
        "versions": card.versions,
        "parameters": published.params if published else None,
        "bytes": path.stat().st_size,
        "sha256": sha256,
    }


def _about(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    spec = registry.entry(kind, name).spec if registry.has(kind, name) else None
    known = {key: getattr(spec, key, "") for key in _ABOUT}
    return {"name": name} | {key: value for key, value in known.items() if value}


def _commands(
    name: str, card: Card, registry: Registry, published: WeightsSpec | None, *, exported: bool
) -> dict[str, dict[str, str]]:
    """Return the commands that `use` and `check` the model, by what they do."""
    use, check = dict[str, str](), dict[str, str]()
    processor = make_processor(registry, card.task) if card.task in registry.tasks else None
    runs = exported or registry.has("architecture", card.architecture)
    if runs and isinstance(processor, WritesText):
        use["generate text"] = f"zoo sample {name}"
    if runs and isinstance(processor, ReadsInputs):
        use["predict for your own inputs"] = f"zoo predict {name} INPUT"
    if runs and registry.has("dataset", card.dataset.name):
        use["evaluate on its data"] = f"zoo eval {name}"
        if card.metrics and not exported:
            check["measure the metrics again"] = f"zoo verify {name}"
        if card.progress.get("epochs") and not card.calibration and not exported:
            check["train again, and compare"] = f"zoo reproduce {name}"
    if published:
        check["train with the recipe"] = f"zoo train {shlex.quote(published.recipe)}"
    return {"use": use, "check": check}


def _limits(card: Card, registry: Registry) -> list[str]:
    """Return sentences about what the model is not for, which follow from its task and data."""
    limits: list[str] = []
    if card.metrics:
        limits.append(
            f"The metrics hold for data like {card.dataset.name}. Evaluate the model on your own data first."
        )
    task = registry.tasks.get(card.task)
    if task and isinstance(make_processor(registry, card.task), WritesText):
        limits.append("It imitates its training text. What it writes can be false or offensive.")
    elif task and task.labels and task.exclusive:
        limits.append("It predicts one of its classes for every input, even if none of them fits.")
        if not card.calibration:
            limits.append("Its confidence was not calibrated, and may not match its accuracy.")
    return limits
