"""What an analyzer looks at: which layers and classes of a model, or why it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from zoo.errors import OptionError, SpecError, did_you_mean
from zoo.files.cards import Card
from zoo.interfaces import Subject
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec

__all__ = ["make_subject"]


def make_subject(
    entry: Entry[AnalyzerSpec],
    model: nn.Module,
    card: Card,
    registry: Registry,
    *,
    classes: Sequence[str],
    layer: str | None,
) -> Subject:
    """Return what an analyzer needs to know about a model.

    Raises:
        SpecError: the analyzer does not fit the model; the hint names those that do.
        OptionError: the model does not have a class or a layer.
    """
    architecture = registry.architecture(card.architecture)
    return Subject(
        task=card.task,
        landmarks=_landmarks(entry, architecture, registry, model, layer),
        preprocess=card.preprocess,
        classes=_classes(classes, card),
    )


def _landmarks(
    entry: Entry[AnalyzerSpec],
    architecture: Entry[ArchitectureSpec],
    registry: Registry,
    model: nn.Module,
    layer: str | None,
) -> dict[str, str]:
    """Return the architecture's landmarks, with `layer` in place of its features."""
    spec, task = entry.spec, architecture.spec.task
    landmarks: dict[str, str] = {**architecture.spec.landmarks}
    analyzers = [other.spec for other in registry.entries("analyzer") if isinstance(other.spec, AnalyzerSpec)]
    fitting = [other.name for other in analyzers if other.fits(architecture.spec)]
    hint = f"analyzers for {architecture.name}: {', '.join(fitting)}" if fitting else None
    if task not in spec.tasks:
        tasks = " and ".join(spec.tasks)
        raise SpecError(f"{entry.name} is for {tasks}, but {architecture.name} is for {task}", hint=hint)
    if layer is not None:
        if "features" not in spec.needs:
            choosing = ", ".join(other.name for other in analyzers if "features" in other.needs)
            raise OptionError(f"{entry.name} does not take a layer", hint=f"these analyzers do: {choosing}")
        landmarks["features"] = _layer(layer, landmarks, model)
    lacking = spec.lacks(landmarks)
    if lacking:
        needs = " and ".join(lacking).replace("|", " or ")
        has = ", ".join(landmarks) or "no landmarks"
        raise SpecError(f"{entry.name} needs {needs}, but {architecture.name} has {has}", hint=hint)
    return landmarks


def _layer(name: str, landmarks: Mapping[str, str], model: nn.Module) -> str:
    known = [path for path, _ in model.named_modules() if path]
    path = landmarks.get(name, name)
    if path not in known:
        nearest = did_you_mean(name, [*landmarks, *known])
        tops = ", ".join(name for name, _ in model.named_children())
        raise OptionError(f"the model has no layer {name!r}{nearest}", hint=f"its top-level layers: {tops}")
    return path


def _classes(given: Sequence[str], card: Card) -> tuple[Any, ...]:
    """Return `Subject.classes` for names and numbers. Raises OptionError for a class the model lacks."""
    if given and card.task != "classification":
        raise OptionError(f"a class is for classification, but the model is for {card.task}")
    names = [str(name) for name in card.preprocess.get("classes", ())]
    return tuple(_class(name, names) for name in given) or ("predicted",)


def _class(given: str, names: list[str]) -> int | str:
    if given in names:
        return names.index(given)
    if given in ("predicted", "true"):
        return given
    if given.isdecimal() and int(given) < len(names):
        return int(given)
    listed = f"its classes: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
    raise OptionError(f"the model has no class {given!r}{did_you_mean(given, names)}", hint=listed)
