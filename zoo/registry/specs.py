"""What a plugin hands over: frozen data that names code without importing it.

A spec's `target` is an import string, `"package.module:Name"`. Only `load()` imports it, so listing a
thousand models costs no more than reading a thousand records. A `Recipe` is how to train, as data.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo.config import options
from zoo.errors import OptionError, SpecError

__all__ = [
    "DIMS",
    "AnalyzerSpec",
    "ArchitectureSpec",
    "Augmentation",
    "DatasetSpec",
    "Recipe",
    "Spec",
    "TaskName",
]

TaskName = Literal["classification", "language-modelling"]

DIMS: Mapping[TaskName, Mapping[str, int]] = {
    "classification": {"in_channels": 3, "image_size": 32, "num_classes": 10},
    "language-modelling": {"vocab_size": 56},
}
"""Each task's dims, with the values that `zoo show` counts parameters for (CIFAR-10, Nietzsche)."""

Augmentation = Literal["crop", "cutout", "flip", "translate"]

Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
NotNegative = Annotated[float, Meta(ge=0, le=1e38)]
Share = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train. Every field is plain data; 0 switches a numeric refinement off."""

    epochs: Positive = 1
    batch_size: Positive = 64
    """Images per step, or lanes the text is cut into."""
    accumulate: Positive = 1
    """Batches whose gradients are averaged, each counting the same, before one optimizer step."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Annotated[float, Meta(gt=0, le=1e38)] = 1e-3
    """The highest learning rate; the schedule scales it down."""
    momentum: Share = 0.9
    """SGD's Nesterov momentum; Adam's first beta."""
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine", "one-cycle", "cosine-restarts"] = "cosine"
    warmup: NotNegative = 0.0
    """Epochs of linear rise from 0. `one-cycle` rises for 0.3 of the run unless this says otherwise."""
    cycle_length: Annotated[float, Meta(ge=0.01)] = 1.0
    """Epochs in the first cycle of `cosine-restarts`."""
    cycle_multiplier: Annotated[float, Meta(ge=1)] = 1.0
    """Each cycle of `cosine-restarts` is this many times as long as the one before."""

    clip_norm: NotNegative = 0.0
    label_smoothing: Share = 0.0
    ema: Share = 0.0
    """Decay per step of the weights' moving average, which is evaluated; (1 + n) / (10 + n) while less."""
    average_patience: Annotated[int, Meta(ge=0)] = 0
    """Once the validation loss is above the best of more than this many epochs ago, average all weights from
    there on and evaluate the average: NT-ASGD where the optimizer is sgd (Merity et al. 2018)."""
    patience: Annotated[int, Meta(ge=0)] = 0
    """Stop once the validation has not got better for this many epochs."""
    freeze: tuple[str, ...] = ()
    """Names of modules or parameters to leave as they are, with `*` for anything: `stages`, `*.norm`."""
    lr_decay_by_depth: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """What each layer's learning rate is times, for each layer that comes after it."""
    norm_bias_lr: Annotated[float, Meta(gt=0)] = 1.0
    """What the learning rate of normalisation layers' biases is times; their weight decay is over it."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the forward and backward pass; `auto` is bf16 where the processor is fast at it, else fp32."""

    augment: tuple[Augmentation, ...] = ()
    """Random changes to training images, drawn for each image by itself; see `zoo.data.augment`."""
    mixup: NotNegative = 0.0
    """Alpha of mixup, which blends training images and their labels in pairs."""
    batching: Literal["stateful", "sections", "windows"] = "stateful"
    """How a text is cut: lanes with carried state, disjoint sections, or overlapping windows that predict one
    token each."""
    bptt: Positive = 64
    """Tokens in a window or section, or per lane in one step: the reach of backpropagation through time."""
    bptt_jitter: bool = False
    """Draw each step's length around `bptt`, so that chunk borders move between epochs; `stateful` only."""

    def __post_init__(self) -> None:
        if self.ema and self.average_patience:
            raise OptionError(
                f"ema={self.ema} and average_patience={self.average_patience} are two averages; one must be 0"
            )

    def replace(self, changes: Mapping[str, Any], *, what: str = "recipe") -> Recipe:
        """Return a recipe with `changes`. Raises OptionError naming the field and what it allows."""
        return options.replace(self, changes, what=what)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON data."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSpec:
    """A model zoo can build: where its class is, its fixed arguments, and how it is trained by default."""

    name: str
    target: str
    task: TaskName
    summary: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments that make this preset, such as `{"depth": 20}`."""
    recipe: Recipe = field(default_factory=Recipe)
    landmarks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Paths of submodules that an analyzer may look at, such as `{"features": "stages", "head": "out"}`.

    - `features`: gives the last feature maps, (B, C, h, w).
    - `class_maps`: gives a map for each class, (B, K, h, w), whose means are the logits.
    - `mean_head`: the linear layer that makes logits of the means of `features`, and of nothing else.
    - `head`: the last layer.
    """
    unexportable: str = ""
    """Why `torch.export` cannot take the model, if so."""
    source: str = ""
    """The paper or lesson this comes from."""

    def load(self) -> Callable[..., Any]:
        """Import and return the callable behind `target`. Raises SpecError where it does not resolve."""
        return _resolve(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A dataset zoo can open."""

    name: str
    target: str
    task: TaskName
    summary: str
    download_bytes: int = 0
    license: str = ""
    source: str = ""

    def load(self) -> Callable[..., Any]:
        """Import and return the class behind `target`. Raises SpecError where it does not resolve."""
        return _resolve(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerSpec:
    """A way of looking inside a trained model."""

    name: str
    target: str
    summary: str
    tasks: tuple[TaskName, ...]
    needs: tuple[str, ...] = ()
    """Landmarks an architecture must have for this analyzer to work on it; `a|b` is either."""
    ignores: tuple[Literal["class", "weights"], ...] = ()
    """What its answer does not depend on, where one would think so."""
    source: str = ""

    def lacks(self, landmarks: Collection[str]) -> list[str]:
        """Return the needs that some landmarks do not meet."""
        return [need for need in self.needs if not set(need.split("|")) & set(landmarks)]

    def fits(self, architecture: ArchitectureSpec) -> bool:
        """Say whether this analyzer can look into models of an architecture."""
        return architecture.task in self.tasks and not self.lacks(architecture.landmarks)

    def load(self) -> Callable[..., Any]:
        """Import and return the class behind `target`. Raises SpecError where it does not resolve."""
        return _resolve(self.target)


Spec = ArchitectureSpec | DatasetSpec | AnalyzerSpec


def _resolve(target: str) -> Callable[..., Any]:
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(
            f"target {target!r} does not resolve: {error}",
            hint="a target is 'package.module:Name', and its imports must be installed",
        ) from error
    if not callable(found):
        raise SpecError(f"target {target!r} is a {type(found).__name__}, not a class or function")
    return found
