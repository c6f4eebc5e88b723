"""What a plugin registers: frozen data that names code without importing it.

A spec's `target` is an import string, `"package.module:Name"`. Only `load()` imports it, so listing a
thousand models costs no more than reading a thousand records. Every field is checked when a spec is made.
"""

from __future__ import annotations

import contextlib
import pkgutil
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo.config import options
from zoo.config.training import TrainConfig
from zoo.errors import SpecError, cause

__all__ = ["AnalyzerSpec", "ArchitectureSpec", "DatasetSpec", "Landmark", "Spec", "TaskSpec"]

Name = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9]+([._+-]+[a-z0-9]+)*\+*$", description="lower-case letters, digits and - . _ +"),
]
"""Such as `grad-cam++`."""

Landmark = Literal["features", "class_maps", "mean_head", "head"]
"""What a named submodule computes:

- `features`: computes the last feature maps, (B, C, h, w).
- `class_maps`: computes a map for each class, (B, K, h, w), whose means are the logits.
- `mean_head`: the linear layer that computes the logits from the means of `features`, and nothing else.
- `head`: the last layer.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSpec:
    """A model that zoo can build: where its class is, its fixed arguments, its usual training."""

    name: Name
    target: str
    task: str
    summary: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments that make this preset, such as `{"depth": 20}`."""
    training: TrainConfig = field(default_factory=TrainConfig)
    landmarks: Mapping[Landmark, str] = field(default_factory=dict[Landmark, str])
    """Paths of submodules that an analyzer may use, such as `{"features": "stages", "head": "out"}`."""
    unexportable: str = ""
    """Why `torch.export` cannot export the model, if so."""
    source: str = ""
    """The paper or lesson this comes from."""

    def __post_init__(self) -> None:
        _validate(self, "architecture")

    def load(self) -> Callable[..., Any]:
        """Import and return the callable behind `target`. Raises SpecError if it does not resolve."""
        return _resolve(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A dataset that zoo can open."""

    name: Name
    target: str
    task: str
    summary: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Options that make this preset; each is a default that the user may override."""
    download_bytes: Annotated[int, Meta(ge=0)] = 0
    license: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _validate(self, "dataset")

    def load(self) -> Callable[..., Any]:
        """Import and return the callable behind `target`. Raises SpecError if it does not resolve."""
        return _resolve(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerSpec:
    """A way of looking inside a trained model."""

    name: Name
    target: str
    summary: str
    tasks: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Landmarks that an architecture must have for this analyzer to work on it; `a|b` means either."""
    ignores: tuple[Literal["class", "weights"], ...] = ()
    """What the result does not depend on, although one might expect it to."""
    source: str = ""

    def __post_init__(self) -> None:
        _validate(self, "analyzer")

    def lacks(self, landmarks: Collection[str]) -> list[str]:
        """Return the needs that some landmarks do not meet."""
        return [need for need in self.needs if not set(need.split("|")) & set(landmarks)]

    def fits(self, architecture: ArchitectureSpec) -> bool:
        """Return whether this analyzer works on models of an architecture."""
        return architecture.task in self.tasks and not self.lacks(architecture.landmarks)

    def load(self) -> Callable[..., Any]:
        """Import and return the callable behind `target`. Raises SpecError if it does not resolve."""
        return _resolve(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What models learn to do: how data becomes batches, a loss and metrics."""

    name: Name
    target: str
    summary: str
    dims: Mapping[str, int]
    """The arguments that data gives a model, with the values that `zoo show` counts parameters for."""

    def __post_init__(self) -> None:
        _validate(self, "task")

    def load(self) -> Callable[..., Any]:
        """Import and return the class behind `target`."""
        return _resolve(self.target)


Spec = ArchitectureSpec | DatasetSpec | AnalyzerSpec


def _validate(spec: Spec | TaskSpec, kind: str) -> None:
    options.validate(spec, what=f"{kind} {spec.name!r}:")
    for item in fields(spec):
        text = getattr(spec, item.name)
        if isinstance(text, str) and not text.isprintable():
            raise SpecError(
                f"{kind} {spec.name!r}: {item.name} must be one line of printable text (got {text!r:.80})"
            )


def _resolve(target: str) -> Callable[..., Any]:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to the command that runs
            resolved = pkgutil.resolve_name(target)
    except KeyboardInterrupt:
        raise
    except (Exception, SystemExit) as error:
        missing = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and missing != target.partition(".")[0]:
            raise SpecError(f"target {target!r} requires {missing}, which is not installed") from error
        raise SpecError(
            f"target {target!r} cannot be imported: {cause(error)}",
            hint="a target is 'package.module:Name', and what that module imports must be installed",
        ) from error
    if not callable(resolved):
        raise SpecError(f"target {target!r} must be a class or a function (got a {type(resolved).__name__})")
    return resolved
