"""`TrainConfig`: a training configuration as data.

This module defines the fields common to all tasks. A task may add groups of fields, each a frozen dataclass
that a plugin registers. Users see one flat list of fields.
"""

import dataclasses
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from zoo.config import options
from zoo.config.arguments import checked
from zoo.config.declarations import Option, declared, option
from zoo.errors import OptionError, SpecError

T = TypeVar("T")

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

# The kinds of entries that training options select by name. Another training option, with the suffix
# `_options`, sets the options of these entries.
METHODS = ("optimizer", "schedule", "augmentation", "metric")

Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
NonNegative = Annotated[float, Meta(ge=0, le=1e38)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Rate = Annotated[float, Meta(gt=0, le=1e38)]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training configuration. All fields are plain data; a value of 0 disables options such as `ema_decay`.

    Users see one flat list of fields: in `replace` and `to_dict`, a field such as `augment` is named without
    its group. `groups` maps the names of the groups that the task adds to instances of their dataclasses, and
    `methods` has the registry's entries that options such as `optimizer` can name, by kind and name.

    Raises OptionError for a field that has the wrong type or is out of range.
    """

    epochs: Positive = option(1, "number of passes over the training split.")
    batch_size: Positive = option(
        64, "items per batch: images, or parallel streams of text.", on_resume="restarts-epoch"
    )
    grad_accum_steps: Positive = option(
        1, "batches per optimizer step; their gradients are averaged.", on_resume="restarts-epoch"
    )

    optimizer: str = option(
        "adamw",
        "name of the optimizer; `zoo list optimizers` shows all.",
        names="optimizer",
        inherited=True,
        on_resume="refused",
    )
    optimizer_options: Mapping[str, Any] = option(
        {}, "options of the optimizer; `zoo show` lists them.", inherited=True, on_resume="refused"
    )
    lr: Rate = option(1e-3, "peak learning rate of the schedule.")
    momentum: Fraction = option(
        0.9,
        "momentum for SGD and Muon, or the first beta for Adam and Lion.",
        read_by="optimizer",
        inherited=True,
    )
    weight_decay: NonNegative = option(
        0.0, "weight decay for all parameters.", read_by="optimizer", inherited=True
    )
    decay_matrices_only: bool = option(
        False,
        "apply weight decay only to parameters with two or more dimensions, not to biases and scales.",
        inherited=True,
        on_resume="refused",
    )
    lr_scales: Mapping[str, Rate] = option(
        {},
        "factors for the learning rates of modules or parameters, named as in `freeze`, such as `head=10`.",
        flag="--lr-scale",
        inherited=True,
        on_resume="refused",
    )
    schedule: str = option(
        "cosine", "name of the learning-rate schedule; `zoo list schedules` shows all.", names="schedule"
    )
    schedule_options: Mapping[str, Any] = option({}, "options of the schedule; `zoo show` lists them.")
    warmup_epochs: NonNegative = option(
        0.0,
        "epochs of linear warmup from 0; for `one-cycle`, epochs of its rise, by default 30% of the run.",
        read_by="schedule",
    )

    metrics: tuple[str, ...] = option(
        (), "names of further metrics; `zoo list metrics` shows all.", flag="--metric", names="metric"
    )
    loss: str = option("", "name of a loss that replaces the task's, such as `focal-loss`.", names="metric")
    metrics_options: Mapping[str, Any] = option(
        {}, "options for metrics and the loss: `focal-loss.gamma=2`.", flag="--metric-option"
    )

    clip_grad_norm: NonNegative = option(0.0, "clip gradients to this global norm; 0 disables clipping.")
    ema_decay: Fraction = option(
        0.0,
        "EMA decay of the weights, at most (1 + n) / (10 + n) at step n; evaluation uses the average.",
        on_resume="refused",
    )
    nonmono: Count = option(
        0,
        "non-monotone interval of NT-ASGD (Merity et al. 2018): once the validation loss exceeds the lowest "
        "loss from more than this many epochs ago, weight averaging starts, and evaluation uses the average.",
    )
    patience: Count = option(0, "stop after this many epochs without improvement in the validation metric.")
    freeze: tuple[str, ...] = option(
        (),
        "names of modules or parameters to freeze, such as `stages` or `*.norm`; `*` matches anything.",
        on_resume="refused",
    )
    freeze_epochs: Count = option(
        0,
        "number of epochs after which all parameters are trained, or 0 for never; without `freeze`, only "
        "newly initialized parameters are trained until then.",
        on_resume="refused",
    )
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = option(
        1.0,
        "layer-wise learning-rate decay: each layer's rate is this fraction of the next layer's rate.",
        on_resume="refused",
    )
    norm_bias_lr_scale: Annotated[float, Meta(gt=0)] = option(
        1.0,
        "factor for the learning rate of normalization biases; their weight decay is divided by it.",
        inherited=True,
        on_resume="refused",
    )
    precision: PrecisionName = option(
        "auto",
        "precision of forward and backward passes; `auto` is bf16 if the device accelerates it, else fp32.",
    )
    sync_batch_norm: bool = option(
        True,
        "compute BatchNorm statistics over the whole batch in distributed training; if off, each process "
        "uses only its own part, which is faster, but results then depend on the number of processes.",
    )
    compile: bool = option(
        False,
        "speed up GPU training with torch.compile, which requires a C++ compiler and takes a minute or two.",
    )
    deterministic: bool = option(False, "use slower but deterministic GPU kernels, without TF32.")

    groups: Mapping[str, Any] = field(default_factory=dict[str, Any])
    methods: Mapping[tuple[str, str], Any] = field(
        default_factory=dict[tuple[str, str], Any], compare=False, repr=False
    )

    def __post_init__(self) -> None:
        options.validate(self)
        if self.ema_decay and self.nonmono:
            raise OptionError(
                f"ema_decay={self.ema_decay} and nonmono={self.nonmono} cannot be combined; set one to 0"
            )

    @classmethod
    def with_groups(
        cls, groups: Mapping[str, type], methods: Mapping[tuple[str, str], Any] | None = None
    ) -> Self:
        """Return the default configuration, including the fields of the given groups."""
        return cls(groups={name: owner() for name, owner in groups.items()}, methods=methods or {})

    def group(self, name: str, type_: type[T]) -> T:
        """Return a group of fields by name, or its defaults if the configuration lacks the group."""
        return self.groups[name] if name in self.groups else type_()

    @functools.cached_property
    def fields(self) -> Mapping[str, Option]:
        """The fields by name, with the groups' fields last."""
        return training_options({name: type(group) for name, group in self.groups.items()})

    @checked
    def replace(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with some fields changed, regardless of their groups.

        If the optimizer or the schedule is replaced, its options are dropped.

        Raises OptionError with the name of the invalid field and its valid values.
        """
        if changes.keys() - self.fields:
            check_known(changes, self.fields)
        inside: dict[str, dict[str, Any]] = {}  # by group
        current = {"optimizer": self.optimizer, "schedule": self.schedule}
        dropped: dict[str, Any] = {name: {} for name in stale(current, changes)}
        for name, value in (dropped | dict(changes)).items():
            inside.setdefault(self.fields[name].group, {})[name] = value
        own = inside.pop("", {})
        groups = {name: dataclasses.replace(self.groups[name], **fields) for name, fields in inside.items()}
        return dataclasses.replace(self, groups={**self.groups, **groups}, **own)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as one flat table of JSON data."""
        flat: dict[str, Any] = {}
        for name, item in self.fields.items():
            value = getattr(self.groups[item.group] if item.group else self, name)
            flat[name] = list(value) if isinstance(value, tuple) else value
        return flat

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        usual = self.with_groups({name: type(group) for name, group in self.groups.items()}).to_dict()
        return {name: value for name, value in self.to_dict().items() if value != usual[name]}


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return training options with changes, without the options of a replaced optimizer or schedule."""
    dropped = stale(before, changes)
    return {**{name: value for name, value in before.items() if name not in dropped}, **changes}


def stale(before: Mapping[str, Any], changes: Mapping[str, Any]) -> list[str]:
    """Return the names of options that are for a replaced optimizer or schedule."""
    new = {kind: changes[kind] for kind in ("optimizer", "schedule") if isinstance(changes.get(kind), str)}
    return [f"{kind}_options" for kind, name in new.items() if name != before.get(kind)]


# Names that a training option cannot have: `zoo train` and `zoo lr-find` use them for other options
RESERVED = frozenset(
    (
        *("accept_changes", "all_metrics", "architecture", "as_json", "data", "dataset", "device", "from"),
        "from_weights",
        *("groups", "help", "json", "kind", "methods", "model", "name", "option", "options"),
        *("architecture", "dry_run", "image", "jobs", "on", "plot", "plugin", "seeds", "track", "training"),
        *("processes", "progress", "quiet", "registry", "resume", "run", "save_every", "seed"),
        *("session", "start", "steps", "stop", "stop_after", "threads", "track_option"),
    )
)


@functools.cache
def fields_of(owner: type, group: str = "") -> Mapping[str, Option]:
    """Return the training options of a dataclass, by name.

    Raises SpecError unless the class is a frozen dataclass whose fields all have a type and a default of that
    type.
    """
    if not dataclasses.is_dataclass(owner) or not owner.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise SpecError(f"a group of training options must be a frozen dataclass (got {owner!r:.80})")
    defaults = owner()  # fails unless each field has one
    fields = {
        name: item._replace(group=group, default=getattr(defaults, name))
        for name, item in declared(owner).items()
        if owner is not TrainConfig or name not in ("groups", "methods")
    }
    for name, item in fields.items():
        if item.names and item.names not in METHODS:
            raise SpecError(f"training option {name!r}: names must be one of {', '.join(METHODS)}")
        table = f"{'metrics' if name == 'loss' else name}_options"
        if item.names and table not in fields:
            message = f"it names entries, so a field {table} must set their options"
            raise SpecError(f"training option {name!r}: {message}")
        try:
            msgspec.json.Decoder(item.type)  # a TypeError, unless files can hold such a value
            options.convert(item.default, item.type, what=name)
        except (OptionError, TypeError) as error:
            raise SpecError(f"training option {name!r}: {error}") from None
    return fields


def training_options(groups: Mapping[str, type]) -> Mapping[str, Option]:
    """Return the common fields, followed by the fields of the given groups, by name."""
    owners = {"": TrainConfig, **groups}
    return {name: item for group, owner in owners.items() for name, item in fields_of(owner, group).items()}


def check_known(given: Collection[str], known: Collection[str]) -> None:
    """Raise OptionError for the first name that is not a known training option."""
    hint = "see `zoo train --help`; pass options of an architecture or a dataset in model= or data=, "
    hint += "and vary them in a sweep as model.NAME or data.NAME"
    options.check_names(given, known, what="the training configuration", place="train", hint=hint)


def checked_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return training options, with the common ones converted to their types.

    The others depend on the task; `TrainConfig.replace` checks them.

    Raises OptionError with the name of the invalid field and its valid values.
    """
    core = fields_of(TrainConfig)
    return {
        name: options.convert(value, core[name].type, what=name) if name in core else value
        for name, value in given.items()
    }
