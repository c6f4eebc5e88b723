"""What an analyzer is asked: which places of a model, which classes; or why it cannot be asked."""

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
    """Return what an analyzer is asked of a model.

    Raises:
        SpecError: the analyzer does not fit the model; the hint names those that do.
        OptionError: a class or a layer that there is not.
    """
    architecture = registry.architecture(card.architecture)
    return Subject(
        task=card.task,
        landmarks=_landmarks(entry, architecture, registry, model, layer),
        preprocess=card.preprocess,
        classes=_asked(classes, card),
    )


def _landmarks(
    entry: Entry[AnalyzerSpec],
    architecture: Entry[ArchitectureSpec],
    registry: Registry,
    model: nn.Module,
    layer: str | None,
) -> dict[str, str]:
    """Return the landmarks to look at, `layer` in place of the features."""
    spec, landmarks = entry.spec, dict(architecture.spec.landmarks)
    task = architecture.spec.task
    if task not in spec.tasks:
        why = f"is for {' and '.join(spec.tasks)}, and {architecture.name} does {task}"
        raise SpecError(f"{entry.name} {why}", hint=_fitting(architecture, registry))
    if layer is not None:
        if "features" not in spec.needs:
            others = [e.spec.name for e in registry.entries("analyzer") if "features" in _needs(e)]
            raise OptionError(
                f"{entry.name} does not look at a layer of one's choice", hint=f"{', '.join(others)} do"
            )
        landmarks["features"] = _layer(layer, landmarks, model)
    lacking = spec.lacks(landmarks)
    if lacking:
        needs = " and ".join(lacking).replace("|", " or ")
        has = ", ".join(landmarks) or "no landmarks"
        why = f"needs {needs}, and {architecture.name} has {has}"
        raise SpecError(f"{entry.name} {why}", hint=_fitting(architecture, registry))
    return landmarks


def _needs(entry: Entry[Any]) -> Sequence[str]:
    return entry.spec.needs


def _fitting(architecture: Entry[ArchitectureSpec], registry: Registry) -> str | None:
    names = [
        each.spec.name
        for each in registry.entries("analyzer")
        if isinstance(each.spec, AnalyzerSpec) and each.spec.fits(architecture.spec)
    ]
    return f"for {architecture.name} there is {', '.join(names)}" if names else None


def _layer(name: str, landmarks: Mapping[str, str], model: nn.Module) -> str:
    known = [path for path, _ in model.named_modules() if path]
    path = landmarks.get(name, name)
    if path not in known:
        nearest = did_you_mean(name, [*landmarks, *known])
        tops = ", ".join(name for name, _ in model.named_children())
        raise OptionError(f"the model has no layer {name!r}{nearest}", hint=f"it consists of {tops}")
    return path


def _asked(classes: Sequence[str], card: Card) -> tuple[Any, ...]:
    """Return `Subject.classes` for names and numbers. Raises OptionError for one the model does not know."""
    if classes and card.task != "classification":
        raise OptionError(f"--class chooses a class, and the model does {card.task}")
    names = [str(name) for name in card.preprocess.get("classes", ())]
    return tuple(_class(asked, names) for asked in classes) or ("predicted",)


def _class(asked: str, names: list[str]) -> int | str:
    if asked in names:
        return names.index(asked)
    if asked in ("predicted", "true"):
        return asked
    if asked.isdecimal() and int(asked) < len(names):
        return int(asked)
    listed = f"it knows {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
    raise OptionError(f"the model has no class {asked!r}{did_you_mean(asked, names)}", hint=listed)
