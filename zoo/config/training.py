"""TrainConfig: how to train, as data. What every task knows is here; what one task adds is a group apart."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo.config import options
from zoo.errors import OptionError

__all__ = ["Augmentation", "ImageFields", "TextFields", "TrainConfig"]

Augmentation = Literal["crop", "cutout", "flip", "translate"]

Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
NonNegative = Annotated[float, Meta(ge=0, le=1e38)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFields:
    """Training fields that only images have."""

    augment: tuple[Augmentation, ...] = ()
    """Random augmentations in order, drawn for each image separately; see `zoo.data.augment`."""
    mixup_alpha: NonNegative = 0.0
    """Alpha of mixup, which blends pairs of training images and their labels; 0 is off."""

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFields:
    """Training fields that only text has."""

    batching: Literal["stateful", "sections", "windows"] = "stateful"
    """How a text is batched: lanes with the hidden state carried over, disjoint sections, or overlapping
    windows that each predict one token."""
    bptt: Positive = 64
    """Tokens in a window or section, or per lane and step: the reach of backpropagation through time."""
    bptt_jitter: bool = False
    """Vary the length of steps around `bptt`, so that batch borders move between epochs (`stateful` only)."""

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A training configuration. Every field is plain data, and 0 switches a numeric refinement off.

    Users see one flat list of fields: `replace` and `to_dict` say `augment`, not `images.augment`.

    Raises OptionError for a field that is not of its type or out of range.
    """

    epochs: Positive = 1
    batch_size: Positive = 64
    """Images per step, or lanes that a text is cut into."""
    grad_accum_steps: Positive = 1
    """Batches whose gradients are averaged, with equal weight, before one optimizer step."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Annotated[float, Meta(gt=0, le=1e38)] = 1e-3
    """Peak learning rate; the schedule scales it down."""
    momentum: Fraction = 0.9
    """Nesterov momentum of SGD; the first beta of Adam."""
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine", "one-cycle", "cosine-restarts"] = "cosine"
    warmup_epochs: NonNegative = 0.0
    """Epochs of linear warmup from 0. `one-cycle` warms up for 30 % of the run unless this is set."""
    cycle_length: Annotated[float, Meta(ge=0.01)] = 1.0
    """Epochs in the first cycle of `cosine-restarts`."""
    cycle_multiplier: Annotated[float, Meta(ge=1)] = 1.0
    """Each cycle of `cosine-restarts` is this many times as long as the previous one."""

    clip_grad_norm: NonNegative = 0.0
    """Largest norm of all gradients together; larger ones are scaled down."""
    label_smoothing: Fraction = 0.0
    ema_decay: Fraction = 0.0
    """EMA decay, warmed up as min(ema_decay, (1 + n) / (10 + n)); the averaged weights are evaluated."""
    nonmono: Annotated[int, Meta(ge=0)] = 0
    """Non-monotone interval of NT-ASGD (Merity et al. 2018): once the validation loss exceeds the best loss
    of more than this many epochs ago, all later weights are averaged and the average is evaluated."""
    patience: Annotated[int, Meta(ge=0)] = 0
    """Stop early after this many epochs without improvement on the validation split."""
    freeze: tuple[str, ...] = ()
    """Modules or parameters to freeze, by name; `*` matches anything: `stages`, `*.norm`."""
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Layer-wise learning-rate decay: each layer learns at this fraction of the next layer's rate."""
    norm_bias_lr_scale: Annotated[float, Meta(gt=0)] = 1.0
    """Factor on the learning rate of normalization layers' biases; their weight decay is divided by it."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of forward and backward pass; `auto` is bf16 where the hardware is fast at it, else fp32."""

    images: ImageFields = field(default_factory=ImageFields)
    text: TextFields = field(default_factory=TextFields)

    def __post_init__(self) -> None:
        options.validate(self)
        if self.ema_decay and self.nonmono:
            raise OptionError(
                f"ema_decay={self.ema_decay} and nonmono={self.nonmono} both average weights; set one to 0"
            )

    def replace(self, changes: Mapping[str, Any]) -> TrainConfig:
        """Return a configuration with some fields changed, whatever group they are in.

        Raises OptionError naming the field and what it must be.
        """
        owners = _owners()
        options.check_names(changes, owners, what="the training configuration")
        by_owner: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            by_owner.setdefault(owners[name], {})[name] = value
        own = by_owner.pop("", {})
        groups = {
            group: dataclasses.replace(getattr(self, group), **inside) for group, inside in by_owner.items()
        }
        return dataclasses.replace(self, **own, **groups)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, those of the groups included, as one flat table of JSON data."""
        flat: dict[str, Any] = {}
        for name, owner in _owners().items():
            value = getattr(getattr(self, owner) if owner else self, name)
            flat[name] = list(value) if isinstance(value, tuple) else value
        return flat

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        usual = TrainConfig().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != usual[name]}


GROUPS: Mapping[str, type] = {"images": ImageFields, "text": TextFields}


@functools.cache
def _owners() -> Mapping[str, str]:
    """Return the group of each field; an empty name for those that every task has."""
    own = {f.name: "" for f in dataclasses.fields(TrainConfig) if f.name not in GROUPS}
    return own | {f.name: group for group, type_ in GROUPS.items() for f in dataclasses.fields(type_)}
