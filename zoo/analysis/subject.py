"""Find the layers and classes that an analyzer needs, or explain why it cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from zoo.config.near_names import did_you_mean
from zoo.errors import OptionError, SpecError
from zoo.files.cards import Card
from zoo.interfaces import Subject
from zoo.models.landmarks import layer_path, require_modules, with_landmarks
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AnalyzerSpec

# What a network with a landmark does, for messages
_DOES: dict[str, str] = {
    "features": "computes feature maps",
    "tokens": "computes feature maps",
    "class_maps": "averages its last feature maps",
    "mean_head": "averages its last feature maps",
    "head": "declares its last layer",
}


def make_subject(
    entry: Entry[AnalyzerSpec],
    model: nn.Module,
    card: Card,
    registry: Registry,
    *,
    classes: Sequence[str],
    layer: str | None,
) -> Subject:
    """Return the `Subject` to pass to an analyzer, with `layer` in place of the landmark `features`.

    Raises:
        SpecError: the analyzer does not support the model; the hint lists analyzers that do.
        OptionError: the model does not have a class or a layer.
    """
    architecture, spec = registry.architecture(card.architecture), entry.spec
    located = with_landmarks(architecture.spec, model)
    landmarks: dict[str, str] = {**located.landmarks}
    analyzers = [other.spec for other in registry.entries_of(AnalyzerSpec)]
    fitting = ", ".join(other.name for other in analyzers if other.fits(located, card.task))
    hint = f"analyzers for {architecture.name}: {fitting}" if fitting else None
    if card.task not in spec.tasks:
        tasks = " and ".join(spec.tasks)
        raise SpecError(f"{entry.name} is for {tasks}, but {architecture.name} is for {card.task}", hint=hint)
    if layer is not None:
        if not spec.takes_layer:
            choosing = ", ".join(other.name for other in analyzers if other.takes_layer)
            raise OptionError(f"{entry.name} does not accept a layer", hint=f"analyzers that do: {choosing}")
        landmarks["features"] = layer_path(layer, landmarks, model)
    lacking = [
        " or ".join(dict.fromkeys(_DOES[name] for name in need.split("|"))) for need in spec.lacks(landmarks)
    ]
    if lacking:
        does = " and ".join(lacking)
        message = f"{entry.name} requires a network that {does}; {architecture.name} does not"
        raise SpecError(message, hint=hint)
    used = {name for need in spec.needs for name in need.split("|")} & landmarks.keys()
    require_modules({name: landmarks[name] for name in used}, model, architecture.name)
    if classes and "class" in spec.ignores:
        raise OptionError(f"{entry.name} draws the same map for every class; omit the class")
    asked = tuple(_class(name, card) for name in classes) or ("predicted",)
    return Subject(
        task=card.task,
        landmarks=landmarks,
        preprocess=card.preprocess,
        classes=asked,
        context=architecture.spec.context(card.arguments),
    )


def _class(given: str, card: Card) -> Any:
    """Return a class for `Subject.classes`, given its name or number. Raises OptionError if it is unknown."""
    names = [str(name) for name in card.preprocess.get("classes", ())]
    if not names:
        raise OptionError(f"the model is for {card.task} and has no classes")
    if given in names:
        return names.index(given)
    if given in ("predicted", "true"):
        return given
    numbers = [str(number) for number in range(len(names))]
    if given in numbers:
        return numbers.index(given)
    listed = f"its classes: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
    raise OptionError(f"the model has no class {given!r}{did_you_mean(given, names)}", hint=listed)
