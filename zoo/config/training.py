"""TrainConfig: how to train, as data. What every task knows is here; what one task adds is a group apart."""

import dataclasses
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Self

from msgspec import Meta

from zoo.config import options
from zoo.config.arguments import checked
from zoo.config.docstrings import described
from zoo.config.synonyms import field_called
from zoo.errors import OptionError

__all__ = [
    "Augmentation",
    "ImageFields",
    "PrecisionName",
    "TextFields",
    "TrainConfig",
    "TrainingField",
    "training_fields",
]

Augmentation = Literal["crop", "cutout", "flip", "translate"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]

Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
NonNegative = Annotated[float, Meta(ge=0, le=1e38)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class ImageFields:
    """Training fields that only images have.

    Attributes:
        augment: random augmentations in order, drawn for each image separately.
        mixup_alpha: alpha of mixup, which blends pairs of training images and their labels; 0 is off.
    """

    augment: tuple[Augmentation, ...] = ()
    mixup_alpha: NonNegative = 0.0

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, kw_only=True)
class TextFields:
    """Training fields that only text has.

    Attributes:
        batching: how a text is batched: lanes with the hidden state carried over, disjoint sections, or
            overlapping windows that each predict one token.
        bptt: tokens in a window or section, or per lane and step: the reach of backpropagation through time.
        bptt_jitter: vary the length of steps around `bptt`, so that batch borders move between epochs
            (`stateful` only).
    """

    batching: Literal["stateful", "sections", "windows"] = "stateful"
    bptt: Positive = 64
    bptt_jitter: bool = False

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training configuration. Every field is plain data, and 0 switches a numeric refinement off.

    Users see one flat list of fields: `replace` and `to_dict` say `augment`, not `images.augment`.

    Attributes:
        epochs: passes over the training split.
        batch_size: images per step, or lanes that a text is cut into.
        grad_accum_steps: batches whose gradients are averaged, with equal weight, before one optimizer step.
        optimizer: optimizer; `adam` adds weight decay to the gradient, `adamw` keeps them apart.
        lr: peak learning rate; the schedule scales it down.
        momentum: Nesterov momentum of SGD; the first beta of Adam.
        weight_decay: weight decay of all parameters.
        schedule: learning rate over the run: constant, or down to 0 along a cosine; `one-cycle` warms up
            before, `cosine-restarts` repeats.
        warmup_epochs: epochs of linear warmup from 0. `one-cycle` warms up for 30 % of the run unless this is
            set.
        cycle_length: epochs in the first cycle of `cosine-restarts`.
        cycle_multiplier: each cycle of `cosine-restarts` is this many times as long as the previous one.
        clip_grad_norm: largest norm of all gradients together; larger ones are scaled down.
        label_smoothing: share of the target that is spread evenly over all classes or tokens.
        ema_decay: EMA decay, warmed up as min(ema_decay, (1 + n) / (10 + n)); the averaged weights are
            evaluated.
        nonmono: non-monotone interval of NT-ASGD (Merity et al. 2018): once the validation loss exceeds the
            best loss of more than this many epochs ago, all later weights are averaged and the average is
            evaluated.
        patience: stop early after this many epochs without improvement on the validation split.
        freeze: modules or parameters to freeze, by name; `*` matches anything: `stages`, `*.norm`.
        layer_decay: layer-wise learning-rate decay: each layer learns at this fraction of the next layer's
            rate.
        norm_bias_lr_scale: factor on the learning rate of normalization layers' biases; their weight decay is
            divided by it.
        precision: precision of forward and backward pass; `auto` is bf16 where the hardware is fast at it,
            else fp32.

    Raises OptionError for a field that is not of its type or out of range.
    """

    epochs: Positive = 1
    batch_size: Positive = 64
    grad_accum_steps: Positive = 1

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Annotated[float, Meta(gt=0, le=1e38)] = 1e-3
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine", "one-cycle", "cosine-restarts"] = "cosine"
    warmup_epochs: NonNegative = 0.0
    cycle_length: Annotated[float, Meta(ge=0.01)] = 1.0
    cycle_multiplier: Annotated[float, Meta(ge=1)] = 1.0

    clip_grad_norm: NonNegative = 0.0
    label_smoothing: Fraction = 0.0
    ema_decay: Fraction = 0.0
    nonmono: Annotated[int, Meta(ge=0)] = 0
    patience: Annotated[int, Meta(ge=0)] = 0
    freeze: tuple[str, ...] = ()
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0
    norm_bias_lr_scale: Annotated[float, Meta(gt=0)] = 1.0
    precision: PrecisionName = "auto"

    images: ImageFields = field(default_factory=ImageFields)
    text: TextFields = field(default_factory=TextFields)

    def __post_init__(self) -> None:
        options.validate(self)
        if self.ema_decay and self.nonmono:
            raise OptionError(
                f"ema_decay={self.ema_decay} and nonmono={self.nonmono} both average weights; set one to 0"
            )

    @checked
    def replace(self, changes: Mapping[str, Any]) -> Self:
        """Return a configuration with some fields changed, whatever group they are in.

        Raises OptionError naming the field and what it must be.
        """
        fields = training_fields()
        for name in changes:
            if name not in fields and (field := field_called(name)):
                raise OptionError(f"unknown training field {name!r}; did you mean {field!r}?")
        hint = "options of an architecture or a dataset are given apart: --model or --data, model= or data="
        options.check_names(changes, fields, what="the training configuration", hint=hint)
        own = {name: value for name, value in changes.items() if not fields[name].group}
        for group in GROUPS:
            if inside := {name: value for name, value in changes.items() if fields[name].group == group}:
                own[group] = dataclasses.replace(getattr(self, group), **inside)
        return dataclasses.replace(self, **own)

    def to_dict(self, groups: Collection[str] | None = None) -> dict[str, Any]:
        """Return the fields as one flat table of JSON data: all, or those without a group and of `groups`."""
        flat: dict[str, Any] = {}
        for name, item in training_fields().items():
            if groups is None or not item.group or item.group in groups:
                value = getattr(getattr(self, item.group) if item.group else self, name)
                flat[name] = list(value) if isinstance(value, tuple) else value
        return flat

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        usual = TrainConfig().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != usual[name]}


GROUPS: Mapping[str, type] = {"images": ImageFields, "text": TextFields}


class TrainingField(NamedTuple):
    """What there is to know of a training field.

    Attributes:
        group: the group it belongs to, a key of `GROUPS`; empty for the fields that every task has.
    """

    name: str
    group: str
    type: Any
    default: Any
    meaning: str


@functools.cache
def training_fields() -> Mapping[str, TrainingField]:
    """Return all training fields by name, those of the groups last."""
    return {
        item.name: TrainingField(item.name, group, resolved[item.name], item.default, meaning[item.name])
        for group, owner in {"": TrainConfig, **GROUPS}.items()
        for resolved, meaning in [(options.resolved_hints(owner), described(owner))]
        for item in dataclasses.fields(owner)
        if item.name not in GROUPS
    }
