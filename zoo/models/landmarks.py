"""Find submodules by landmark or path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from torch import nn

from zoo.config.near_names import did_you_mean
from zoo.errors import OptionError, SpecError
from zoo.files.exported import FEATURES
from zoo.interfaces import HasLandmarks
from zoo.registry.specs import ArchitectureSpec, Landmark


def with_landmarks(spec: ArchitectureSpec, model: nn.Module) -> ArchitectureSpec:
    """Return a spec that also has the landmarks from the model's `find_landmarks`, if it is defined."""
    return replace(spec, landmarks=all_landmarks(spec.landmarks, model))


def all_landmarks(declared: Mapping[Any, str], model: nn.Module) -> dict[Any, str]:
    """Return the landmarks that a spec declares, and those from the model's `find_landmarks`."""
    return {**declared, **(model.find_landmarks() if isinstance(model, HasLandmarks) else {})}


def layer_path(name: str, landmarks: Mapping[str, str], model: nn.Module) -> str:
    """Return the path of a layer, given a landmark or a path.

    Raises OptionError if the model has no such layer; the message lists its landmarks or layers.
    """
    known = [path for path, _ in model.named_modules() if path]
    path = landmarks.get(name, name)
    if path in known:
        return path
    tops = f"its top-level layers: {', '.join(name for name, _ in model.named_children()) or 'none'}"
    if name in get_args(Landmark):
        has = f"; its landmarks: {', '.join(landmarks)}" if landmarks else "; its landmarks: none"
        hint = f"choose a layer by its path; {tops}"
        raise OptionError(f"the model has no landmark {name!r}{has}", hint=hint)
    raise OptionError(f"the model has no layer {name!r}{did_you_mean(name, [*landmarks, *known])}", hint=tops)


def require_modules(landmarks: Mapping[str, str], model: nn.Module, architecture: str) -> None:
    """Raise SpecError if a landmark of an architecture does not exist in the model."""
    known = [path for path, _ in model.named_modules()]
    for landmark, path in landmarks.items():
        if path not in known:
            nearest = did_you_mean(path, known)
            hint = "correct `landmarks` in the architecture's spec; `zoo check` verifies them"
            raise SpecError(
                f"{architecture}: landmark {landmark} is {path!r}, which is not a layer{nearest}", hint=hint
            )


def feature_landmarks(model: nn.Module, landmarks: Mapping[str, str], architecture: str) -> dict[str, str]:
    """Return the landmark for a model's features, with its path; empty if the architecture has none.

    Raises SpecError for a landmark that does not exist.
    """
    for name in (FEATURES, "head"):
        if path := landmarks.get(name, ""):
            require_modules({name: path}, model, architecture)
            return {name: path}
    return {}
