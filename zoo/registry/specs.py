"""Specs: frozen records that a plugin registers. They refer to code without importing it.

A spec's `target` is an import string, `"package.module:Name"`. The code is imported only by `load()`, so
listing models does not import any of them. Every field is checked when a spec is created, except for
references to other plugins: whether a task exists, and whether it has a training option.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from msgspec import Meta

from zoo.config import options
from zoo.config.near_names import did_you_mean
from zoo.config.train_config import RESERVED, TrainConfig, checked_fields, fields_of
from zoo.errors import MissingModule, OptionError, SpecError, cause
from zoo.registry.plugin_output import printing_to

if TYPE_CHECKING:
    import click

# Such as `grad-cam++`
Name = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9]+([._+-]+[a-z0-9]+)*\+*$", description="lowercase letters, digits and - . _ +"),
]

Count = Annotated[int, Meta(ge=0, le=2**53, description="an integer of at least 0")]
PositiveInt = Annotated[int, Meta(ge=1, le=2**53, description="an integer of at least 1")]
PretrainedName = Annotated[str, Meta(pattern=r"^[\w.+-]+$", description="letters, digits and - . _ +")]
ExtraName = Annotated[str, Meta(pattern=r"^(\w+([.-]\w+)*)?$", description="the name of an extra")]
Suffix = Annotated[str, Meta(pattern=r"^\.[a-z0-9_]+$", description="a lowercase suffix such as .onnx")]
OptionName = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$", description="the name of an option")]

# The commands of zoo itself, those that are still to come among them: no plugin can have one of these names
OWN_COMMANDS = {
    *("analyze", "cache", "calibrate", "card", "check", "compare", "completion", "data", "embed", "eval"),
    *("export", "help", "import", "inspect", "list", "lr-find", "new-plugin", "plugins", "predict"),
    *("publish", "push", "remote", "reproduce", "resume", "runs", "sample", "serve", "show", "sweep"),
    *("track", "train", "verify"),
}

# No exported file can be taken for one of these
OWN_SUFFIXES = {".safetensors", ".toml", ".py", ".json", ".jsonl", ".csv", ".npy", ".txt", ".png", ".jpg"}

# What a named submodule computes:
#
# - `features`: computes the last feature maps, (B, C, h, w); of sequences, the last hidden states (T, B, H).
# - `tokens`: computes the last features of an image that are channels-last: tokens (B, N, C), which may begin
#   with tokens other than those of the patches, or (B, h, w, C).
# - `class_maps`: computes a map for each class, (B, K, h, w), whose means are the logits.
# - `mean_head`: the linear layer that computes the logits from the means of `features`, and nothing else.
# - `head`: the last layer. Its input is the features, if there is no landmark of that name.
Landmark = Literal["features", "tokens", "class_maps", "mean_head", "head"]


def require_printable(instance: object, what: str) -> None:
    """Raise SpecError unless each string field of a dataclass is one printable line."""
    for name, text in vars(instance).items():
        if isinstance(text, str) and not text.isprintable():
            raise SpecError(f"{what} {name} must be one line of printable text (got {text!r:.80})")


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Named:
    """The base of all specs: a name, a one-line summary, and checks of every field.

    Attributes:
        expected_failures: the names of contract checks that are expected to fail, each with the reason.
    """

    name: Name
    summary: str
    expected_failures: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        kind = type(self).__name__.removesuffix("Spec").lower().replace("fields", "group")
        what = f"{kind} {options.shown(self.name)}:"
        options.validate(self, what=what)
        require_printable(self, what)
        for check, why in self.expected_failures.items():
            if not why.strip() or not f"{check}{why}".isprintable():
                message = f"the reason for {check!r} in expected_failures must be one line of printable text"
                raise SpecError(f"{what} {message} (got {why!r:.80})")


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Coded(_Named):
    """A spec with an import string, `target`."""

    target: str

    def load(self) -> Callable[..., Any]:
        """Import and return the callable that `target` refers to. Raises SpecError if it does not resolve."""
        return _resolved(self.target)


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights published elsewhere that training can start from.

    Attributes:
        mean: mean that was subtracted from the training images, one value per channel, for pixels from 0 to
            1; empty for models that do not read images or that work with any mean. A dataset with an option
            `channels` is opened with this number of channels, unless the user sets the option.
        std: standard deviation by which the images were then divided, one value per channel.
        size: height and width of the training images in pixels; 0 if any size is suitable. A dataset with an
            option `size` is opened with this size, unless the user sets the option.
        source: where the weights were published, and their license.
    """

    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Meta(gt=0)], ...] = ()
    size: Count = 0
    source: str = ""

    def __post_init__(self) -> None:
        options.validate(self, what="pretrained:")
        if len(self.mean) != len(self.std):
            sizes = f"{len(self.mean)} and {len(self.std)}"
            raise SpecError(f"pretrained: mean and std must each have one value per channel (got {sizes})")
        require_printable(self, "pretrained:")


@dataclass(frozen=True, kw_only=True)
class ArchitectureSpec(_Coded):
    """A model that zoo can build: its class, its arguments and its usual training options.

    Attributes:
        config: arguments of this preset, such as `{"depth": 20}`.
        training: training options that differ from zoo's defaults, such as `{"epochs": 30, "augment":
            ["crop", "flip"]}`; `zoo train --help` lists all.
        landmarks: paths of submodules for analyzers, such as `{"features": "stages", "head": "out"}`.
        context_length: maximum number of tokens that the model reads from an empty state, or the name of the
            option that sets it, such as `"block_size"`; 0 for no limit. See `zoo.interfaces`.
        smallest_image: smallest height and width in pixels that the model can read; 0 for no limit.
        parameters: number of parameters for the task's usual dims, for `zoo list`; 0 if unknown.
        pretrained: weights published elsewhere, by name; the option `pretrained` selects one. See
            `zoo.interfaces.LoadsPretrained`.
        pretrained_target: import string of a function that accepts `config` as keyword arguments and returns
            additional entries of `pretrained`, for weights that can only be listed by importing a library;
            the name `true` selects the default.
        pretrained_files: whether the option `pretrained` may also be the path of a safetensors file; its
            weights were trained on images of the size and with the normalization of the first pretrained
            weights.
        data_dependent: why the model's computation depends on the values of its inputs, such as `"each token
            is routed to one expert"`; empty if it does not.
        unexportable: why `torch.export` cannot export the model; empty if it can.
        source: the paper or lesson that the architecture comes from.
    """

    task: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    landmarks: Mapping[Landmark, str] = field(default_factory=dict[Landmark, str])
    context_length: Count | OptionName = 0
    smallest_image: Count = 0
    parameters: Count = 0
    pretrained: Mapping[PretrainedName, Pretrained] = field(default_factory=dict[PretrainedName, Pretrained])
    pretrained_target: str = ""
    pretrained_files: bool = False
    data_dependent: str = ""
    unexportable: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "training", checked_fields(self.training))

    def starts_from(self, arguments: Mapping[str, Any]) -> Pretrained | None:
        """Return the weights that the option `pretrained` selects; None for `none`, or without the option.

        Raises OptionError for an unknown name.
        """
        name = arguments.get("pretrained")
        if name in (None, False, "", "none") or not (self.pretrained or self.pretrained_target):
            return None
        known, name = self.all_pretrained(), "true" if name is True else str(name)
        if self.pretrained_file(arguments):
            return next(iter(known.values()), Pretrained())
        if name not in known:
            message = f"{self.name} has no pretrained weights {name!r:.80}"
            file = ", or a .safetensors file" if self.pretrained_files else ""
            hint = f"pretrained must be one of {', '.join([*known, 'none'])}{file}" if known else None
            raise OptionError(f"{message}{did_you_mean(name, known)}", hint=hint)
        return known[name]

    def pretrained_file(self, arguments: Mapping[str, Any]) -> str:
        """Return the path that the option `pretrained` names; empty if it names no file."""
        name = arguments.get("pretrained")
        return (
            name if self.pretrained_files and isinstance(name, str) and ("/" in name or "." in name) else ""
        )

    def all_pretrained(self) -> Mapping[str, Pretrained]:
        """Return the weights of `pretrained` and `pretrained_target`, by name. Raises SpecError."""
        found = _resolved(self.pretrained_target)(**self.config) if self.pretrained_target else {}
        return {**self.pretrained, **found}

    def context(self, arguments: Mapping[str, Any]) -> int:
        """Return how many tokens a model with these arguments can read from an empty state; 0 for no limit.

        Raises SpecError if the option that `context_length` names is missing or invalid.
        """
        if isinstance(self.context_length, int):
            return self.context_length
        length = arguments.get(self.context_length, "no such option")
        if length is not None and (type(length) is not int or length < 0):
            message = f"context_length names the option {self.context_length!r}"
            expected = "which must be an integer of at least 0, or None for no limit"
            raise SpecError(f"architecture {self.name!r}: {message}, {expected} (got {length!r:.80})")
        return length or 0


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(_Coded):
    """A dataset that zoo can open.

    Attributes:
        config: options of this preset, which the user can override.
        card_options: options that a weights file may set, in addition to switches, choices, and numbers with
            a declared minimum and maximum. Never list an option that names a file, a folder or an address:
            only the user may set it, and it is not stored in cards.
        path_options: options that name files or folders, which a run records as absolute paths.
        required: options that the user must set, such as the location of files, unless `config` sets them;
            zoo reports that they are missing without importing the target.
        undivided: options that put all of the user's own data into the train split instead of splitting it at
            random, so that a model trained on different data can be evaluated on all of the data.
        sample: options with which `zoo check` opens a dataset that has required options, such as
            `{"root": "sample"}` for a folder of small files in the package; values of `path_options` are
            relative to the folder of the plugin's module. No other command uses them.
    """

    task: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    required: tuple[str, ...] = ()
    undivided: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sample: Mapping[str, Any] = field(default_factory=dict[str, Any])
    card_options: tuple[str, ...] = ()
    path_options: tuple[str, ...] = ("root",)
    download_bytes: Annotated[int, Meta(ge=0)] = 0
    license: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class AnalyzerSpec(_Coded):
    """An analyzer, which inspects a trained model.

    Attributes:
        tasks: the tasks that the analyzer is for; if empty, all tasks whose data has `dims`.
        dims: dims such as `("in_channels", "image_size")`; the analyzer is also for every other task whose
            data has these dims.
        reference: the split of the model's data with which the analyzer compares inputs; see
            `Subject.reference`.
        needs: landmarks that an architecture must have; `a|b` means `a` or `b`.
        ignores: inputs that do not affect the result, contrary to what users may expect, such as `class` or
            `weights`.
        labels: whether the analyzer compares predictions with labels, which the user's own inputs lack.
        in_card: whether `zoo card` shows the findings: of a whole `split`, or of its first few `items`, for
            heat maps; empty if it does not.
    """

    tasks: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    reference: Literal["", "train", "val", "test"] = ""
    needs: tuple[str, ...] = ()
    ignores: tuple[Literal["class", "weights"], ...] = ()
    labels: bool = False
    in_card: Literal["", "split", "items"] = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for need in self.needs:
            for name in need.split("|"):
                options.convert(name, cast("Any", Landmark), what=f"analyzer {self.name!r}: needs")

    def among(self, tasks: Mapping[str, "TaskSpec"]) -> "AnalyzerSpec":
        """Return the spec with the names of all tasks that the analyzer is for."""
        if self.tasks and not self.dims:
            return self
        more = [task.name for task in tasks.values() if task.dims.keys() >= {*self.dims}]
        return replace(self, tasks=tuple(dict.fromkeys([*self.tasks, *more])))

    @property
    def takes_layer(self) -> bool:
        """Whether the user can choose a layer in place of the landmark `features`."""
        return any("features" in need.split("|") for need in self.needs)

    def lacks(self, landmarks: Collection[str]) -> list[str]:
        """Return the entries of `needs` that some landmarks do not satisfy."""
        return [need for need in self.needs if not set(need.split("|")) & set(landmarks)]

    def fits(self, architecture: ArchitectureSpec, task: str = "") -> bool:
        """Return whether this analyzer works with an architecture's models for a task."""
        return (task or architecture.task) in self.tasks and not self.lacks(architecture.landmarks)


@dataclass(frozen=True, kw_only=True)
class TaskSpec(_Coded):
    """A task that models are trained for. Its target is a `zoo.interfaces.Task`.

    Attributes:
        name: the name of the task, which must be unique among all plugins.
        dims: the model's arguments that depend on the data, with the values for which `zoo show` counts
            parameters.
        output_shape: the shape of a model's outputs for one item, such as `("horizon", 3)`: names of dims,
            and numbers. If empty, it is that of the logits for `labels`, or that of the targets. If a task
            without `labels` has a shape, a CSV file has a line for each row of a prediction.
        primary_metric: the metric that is shown first, and that selects the best epoch.
        higher_is_better: metrics for which higher is better, such as accuracy; for all others, lower is
            better.
        units: the units of metrics, such as `{"accuracy": "%", "loss": "nats"}`; a metric in `%` is a
            fraction that is shown as a percentage. The primary metric is shown first, then the others in this
            order.
        labels: the dim with the number of labels, and the key of `preprocess` that lists them, such as
            `("num_classes", "classes")`; empty if a model predicts numbers.
        exclusive: whether a model chooses exactly one label; if False, an item can have any number of
            labels.
        architectures_of: another task whose architectures can also be trained for this task: they are built
            and called in the same way, and only the loss differs.
        groups: the groups of training options that apply, from this plugin or others, such as `images`.
        processor: import string of the task's `zoo.plugin.Processor`, which must not require torch.
        tiny: import string of a small synthetic `Dataset`, on which contract checks train and evaluate.
        in_memory: import string of a function that recognizes data of the task given in Python, as in
            `zoo.train(Net, data)`. It takes the data of each split by name, and returns a function whose
            typed options open it as a `Dataset`, or None if the data is something else.
        templates: folder of templates for `zoo new-plugin`, inside a package: `my_package/templates/my-task`.
    """

    dims: Mapping[str, int]
    output_shape: tuple[str | PositiveInt, ...] = ()
    primary_metric: str = "loss"
    higher_is_better: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: tuple[str, str] | None = None
    exclusive: bool = True
    architectures_of: str = ""
    groups: tuple[str, ...] = ()
    processor: str
    tiny: str
    in_memory: str = ""
    templates: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        primary = {self.primary_metric: self.units.get(self.primary_metric, "")}
        object.__setattr__(self, "units", primary | {**self.units})  # metrics are shown in this order
        for size in self.output_shape:
            if isinstance(size, str) and size not in self.dims:
                message = f"task {self.name!r}: output_shape has an unknown dim {size!r}"
                near, hint = did_you_mean(size, self.dims), f"dims: {', '.join(self.dims)}"
                raise SpecError(f"{message}{near}", hint=hint)

    def shape_of_outputs(self, dims: Mapping[str, int]) -> tuple[int, ...]:
        """Return `output_shape` in numbers, for a model or data with some dims."""
        return tuple(dims[size] if isinstance(size, str) else size for size in self.output_shape)

    @property
    def in_lines(self) -> bool:
        """Whether tables have a line for each row of a prediction, instead of one for each input."""
        return bool(self.output_shape) and self.labels is None

    def load_processor(self) -> Callable[["TaskSpec"], Any]:
        """Import and return the processor's class. Raises SpecError if `processor` does not resolve."""
        return _resolved(self.processor)

    def load_tiny(self) -> Callable[..., Any]:
        """Import and return the small dataset's class. Raises SpecError if `tiny` does not resolve."""
        return _resolved(self.tiny)

    def load_in_memory(self) -> Callable[[Mapping[str, Any]], Callable[..., Any] | None]:
        """Import and return the function that recognizes data. Raises SpecError if it does not resolve."""
        return _resolved(self.in_memory)


@dataclass(frozen=True, kw_only=True)
class FieldsSpec(_Named):
    """A group of training options, which apply to the tasks that list the group.

    Attributes:
        name: the name of the group, which must be unique among all plugins; the same applies to its fields.
        fields: a frozen dataclass, each field with a type and declared with `zoo.plugin.option`.
    """

    fields: Any
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in fields_of(self.fields, self.name):
            message = f"group {self.name}: a training option cannot be called {name!r}"
            if name in RESERVED or name in fields_of(TrainConfig):
                whose = "an option of `zoo train`" if name in RESERVED else "a field that every task has"
                raise SpecError(f"{message}, which is {whose}")
            if name.startswith("no_"):
                raise SpecError(message, hint="the prefix --no- is reserved for turning options off")


@dataclass(frozen=True, kw_only=True)
class CommandSpec(_Coded):
    """A plugin command, `zoo NAME`. Its target is a click command, which is imported only when needed.

    Attributes:
        name: the name of the command, which must be unique among all plugins and differ from zoo's commands.
        extra: the extra of the plugin's distribution that installs packages for this command only, such as
            `serve`; an error about a missing module mentions the extra.
    """

    extra: ExtraName = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in OWN_COMMANDS:
            raise SpecError(f"a plugin command cannot be called {self.name!r}: zoo already has this command")

    def load(self) -> "click.Command":
        """Import and return the click command. Raises SpecError if the target is not one."""
        import click  # not needed to list

        command = super().load()
        if not isinstance(command, click.Command):
            got = f"{type(command).__module__}.{type(command).__qualname__}"
            raise SpecError(f"target {self.target!r} must be a click command (got a {got})")
        return command


@dataclass(frozen=True, kw_only=True)
class ExporterSpec(_Coded):
    """A format to which models can be exported. Its target returns a `zoo.interfaces.Exporter`.

    Keyword-only arguments of the target are its options, each with a type, a default and a description.

    Attributes:
        suffix: suffix of the files, such as `.onnx`, which must be unique among all plugins.
        reader: import string of a function that accepts the `Path` of a file and returns a
            `zoo.plugin.Exported`, without torch. It must be safe to run on untrusted files. Without a reader,
            zoo can write this format, but not read it.
        extra: the extra of the plugin's distribution that installs packages for this exporter only.
    """

    suffix: Suffix
    reader: str = ""
    extra: ExtraName = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.suffix in OWN_SUFFIXES:
            raise SpecError(f"exporter {self.name!r}: suffix {self.suffix!r} is already used by zoo")

    def load_reader(self) -> Callable[..., Any]:
        """Import and return the reader. Raises SpecError if `reader` does not resolve."""
        return _resolved(self.reader)


@dataclass(frozen=True, kw_only=True)
class TrackerSpec(_Coded):
    """An experiment tracker, to which `zoo track` sends the log of a run. Its target returns a Tracker.

    Keyword-only arguments of the target are its options, each with a type, a default and a description.

    Attributes:
        target: import string of a `zoo.plugin.Tracker` without required arguments, which must not require
            torch.
        extra: the extra of the plugin's distribution that installs packages for this tracker only.
    """

    extra: ExtraName = ""


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(_Coded):
    """An optimizer, which users select with the training option `optimizer`.

    Its target is a function `(groups, *, ...) -> torch.optim.Optimizer`, where `groups` are parameter groups
    as for torch's optimizers. Keyword-only arguments are its options, each with a type, a default and a
    description. An argument with the name of a training option, such as `lr`, `momentum` or `weight_decay`,
    receives the value of that option, and an argument `model` receives the model.

    If the optimizer has methods `train` and `eval`, as schedule-free optimizers do, zoo trains the weights
    that `train` sets, and evaluates and saves the weights that `eval` sets.

    Attributes:
        training: training options that suit the optimizer better than those of the architecture, such as
            `{"lr": 1e-4}`. zoo uses them if the user chooses the optimizer and does not set them.
    """

    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "training", checked_fields(self.training))


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(_Coded):
    """A learning-rate schedule, which users select with the training option `schedule`.

    Its target is a function `(progress, *, ...) -> float` that returns the learning rate as a fraction of
    `lr`, where `progress` is the position in training from 0 to 1. Keyword-only arguments are its options, as
    in `OptimizerSpec`. An argument with the name of a training option, such as `epochs` or `warmup_epochs`,
    receives its value, an argument `position` receives the position in epochs, and an argument `history`
    receives the metrics of each finished epoch by name, such as `{"train/loss": 0.4, "val/accuracy": 0.8}`.
    """

    source: str = ""


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec(_Coded):
    """An augmentation of training images, which users select with the training option `augment`.

    Its target is a function `(images, draws, *, ...) -> images` of uint8 images (B, C, H, W) and a
    `zoo.plugin.Draws`, the only source of random numbers. Keyword-only arguments are its options, each with a
    type, a default and a description.

    Attributes:
        changes: `colors` if pixels stay in their places, `places` if they only move; otherwise `both`. A task
            whose targets are images, such as masks, can read this value; zoo itself does not use it.
    """

    changes: Literal["colors", "places", "both"] = "both"
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class MetricSpec(_Coded):
    """A metric for an existing task, or a loss that replaces the loss of the task.

    The option `metrics` selects metrics to measure in training and evaluation, and the training option `loss`
    selects a loss to minimize. The target returns a `zoo.interfaces.Metric`, a `zoo.interfaces.LossFunction`,
    or an object that is both; keyword-only arguments are its options.

    Attributes:
        tasks: the tasks that the metric is for; empty for all.
        higher_is_better: whether higher values are better.
        target_value: the value to which closer values are better, such as 0.9 for the coverage of a 90%
            interval; None if a direction is better.
        unit: the unit of the metric; a metric in `%` is a fraction that is shown as a percentage.
    """

    tasks: tuple[str, ...] = ()
    higher_is_better: bool = False
    target_value: float | None = None
    unit: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_value is not None and self.higher_is_better:
            raise SpecError(f"metric {self.name!r}: target_value and higher_is_better exclude each other")
        if self.unit == "%" and self.target_value is not None and self.target_value > 1:
            why = f"since a metric in % is a fraction (got {self.target_value:g})"
            raise SpecError(f"metric {self.name!r}: target_value must be at most 1, {why}")


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec(_Coded):
    """A tokenizer for language models, which a text dataset selects with `tokens` in its `preprocess`.

    Its target is a function `(text, preprocess) -> tokens` that splits text into strings; joining them must
    restore the text. It must not require torch. `preprocess` is JSON data from the dataset or a card, with
    the `vocabulary` and any other data that the tokenizer needs, such as `merges`. Tokens that are not in the
    vocabulary are read as `<unk>`.
    """

    source: str = ""


SpecWithExtra = CommandSpec | ExporterSpec | TrackerSpec
# Entries that an option selects by name, and that have their own options
MethodSpec = OptimizerSpec | ScheduleSpec | AugmentationSpec | MetricSpec | TokenizerSpec
Spec = ArchitectureSpec | DatasetSpec | AnalyzerSpec | TaskSpec | FieldsSpec | MethodSpec | SpecWithExtra


def _resolved(target: str) -> Callable[..., Any]:
    """Import and return the callable for an import string. Raises SpecError if it does not resolve."""
    from pkgutil import resolve_name  # not needed to list

    try:
        with printing_to(sys.stderr):  # stdout belongs to the command that runs
            resolved = resolve_name(target)
    except (Exception, SystemExit) as error:
        missing = (getattr(error, "name", None) or "").partition(".")[0]
        own = target.partition(":")[0].partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and missing != own:
            message = f"target {target!r} requires {missing}, which is not installed"
            raise MissingModule(message, module=missing) from error
        hint = "a target has the form 'package.module:Name'; all packages that it imports must be installed"
        raise SpecError(f"target {target!r} cannot be imported: {cause(error)}", hint=hint) from error
    if not callable(resolved):
        kind = type(resolved).__name__
        raise SpecError(f"target {target!r} must be a class or a function (got a {kind})")
    return resolved
