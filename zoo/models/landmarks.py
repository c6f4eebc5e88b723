"""The submodules that landmarks and users name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from torch import nn

from zoo.errors import OptionError, SpecError, did_you_mean
from zoo.files.exported import FEATURES
from zoo.registry.specs import Landmark


def layer_path(name: str, landmarks: Mapping[str, str], model: nn.Module) -> str:
    """Return the path of a layer that a user names, by a landmark or the path itself.

    Raises OptionError if the model has no such layer; it lists the landmarks, or the layers, that there are.
    """
    known = [path for path, _ in model.named_modules() if path]
    path = landmarks.get(name, name)
    if path in known:
        return path
    tops = f"its top-level layers: {', '.join(name for name, _ in model.named_children()) or 'none'}"
    if name in get_args(Landmark):
        has = f"; it has {', '.join(landmarks)}" if landmarks else ", nor any other"
        hint = f"name a layer by its path; {tops}"
        raise OptionError(f"the model has no landmark {name!r}{has}", hint=hint)
    raise OptionError(f"the model has no layer {name!r}{did_you_mean(name, [*landmarks, *known])}", hint=tops)


def require_modules(landmarks: Mapping[str, str], model: nn.Module, architecture: str) -> None:
    """Raise SpecError for a landmark of an architecture that its model does not have."""
    known = [path for path, _ in model.named_modules()]
    for landmark, path in landmarks.items():
        if path not in known:
            nearest = did_you_mean(path, known)
            hint = "the landmarks are in the spec of the architecture, which `zoo check` checks"
            raise SpecError(
                f"the {landmark} of {architecture} is {path!r}, but it has no such layer{nearest}", hint=hint
            )


def feature_landmarks(model: nn.Module, landmarks: Mapping[str, str], architecture: str) -> dict[str, str]:
    """Return where the features of a model are, one path; none if its architecture does not say.

    Raises SpecError for a landmark that does not exist.
    """
    for name in (FEATURES, "head"):
        if path := landmarks.get(name, ""):
            require_modules({name: path}, model, architecture)
            return {name: path}
    return {}
