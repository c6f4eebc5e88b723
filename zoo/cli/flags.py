"""Command-line flags generated from the arguments of a function, or from training options."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from zoo.cli.name_types import NameType, registry_of
from zoo.config import options
from zoo.config.declarations import Option, declared, flag_named
from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import OptionError, ZooError, printable

F = TypeVar("F", bound=Callable[..., Any])

_BY_COMMAND = {"device", "progress", "registry"}  # the same for every command
# Flags and values of arguments of functions; training options declare theirs
_RENAMED = {"from_weights": "--from", "classes": "--class", "options": "--option"}
_NAMES = {
    "dataset": NameType("dataset"),
    "architecture": NameType("architecture"),
    "from_weights": NameType("weights", runs=True),
    "to": NameType("exporter"),
}
# Arguments of functions that list names, separated by commas
_LISTS = {"metrics": "metric"}
# The words that follow the name of an option at the start of an error message
_VERBS = " (?:must|cannot|does|is|requires) "

# Keys of click's `Context.meta`
_WORDS, _FLAGS = "zoo.words", "zoo.flags"


class ValueType(click.ParamType[Any]):
    """A click parameter type that parses the value of an option.

    Args:
        type_: type of the value; `X | None` is parsed as X, and a `Path` stays a string.
    """

    def __init__(self, type_: Any) -> None:
        parts = get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)
        self._path = Path in parts
        (self._type,) = [part for part in parts if part not in (Path, type(None))]
        self._listed = get_origin(self._type) is tuple
        item = next(iter(get_args(self._type)), Any) if self._listed else self._type
        self.choices = [*map(options.text, get_args(item))] if get_origin(item) is Literal else []
        words = options.describe(item).removeprefix("an ").removeprefix("a ")
        self.name = "|".join(self.choices) or words.partition(" ")[0].replace("string", "text")
        if self._path:
            self.name = "path"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        if self._listed:  # without brackets, so that the names of all augmentations fit in 60 columns
            return f"{self.name if self.choices else self.name.upper()},..."
        return f"[{self.name}]" if self.choices else self.name.upper()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self._type is str or not isinstance(value, str):  # a text, or a default
            return value
        name = str(param and param.human_readable_name)
        what = name if isinstance(param, click.Argument) else flag_of(name)
        return options.convert(options.Typed(value), self._type, what=what)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the choices that complete a word; if it contains commas, complete only the last part."""
        if self._path:
            return [CompletionItem(incomplete, type="file")]
        before, comma, last = incomplete.rpartition(",") if self._listed else ("", "", incomplete)
        words = [*self.choices, *(["none"] if self._listed and not comma else [])]
        return [CompletionItem(f"{before}{comma}{word}") for word in words if word.startswith(last)]


class NamesType(ValueType):
    """A comma-separated list of names of entries of one kind, such as the value of `--augment`."""

    def __init__(self, type_: Any, kind: str) -> None:
        super().__init__(type_)
        self._kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that complete the last part of a word."""
        self.choices = [entry.spec.name for entry in registry_of(ctx).entries() if entry.kind == self._kind]
        return super().shell_complete(ctx, param, incomplete)


class Flag(click.Option):
    """The flag for a declared option.

    A mapping becomes a repeatable KEY=VALUE option, and a sequence becomes a repeatable option. A training
    option has no value unless the user sets it. The values of a list, such as names of metrics, may also be
    separated by commas.
    """

    def __init__(self, param_decls: Sequence[str] = (), *, option: Option, training: bool = False) -> None:
        self.group = option.group
        self.training = training
        flag = option.flag or flag_of(option.name)
        text = option.help.replace("`", "")
        default = None if training else option.default
        settings: dict[str, Any] = {"default": default, "help": text[:1].upper() + text[1:]}
        kinds = {get_origin(part) for part in (option.type, *get_args(option.type))}
        if option.type is bool:
            flag = f"{flag}/--no-{flag[2:]}" if training or default else flag
            settings |= {"is_flag": True, "show_default": bool(default)}
        elif Mapping in kinds:
            settings |= {"multiple": True, "default": (), "metavar": "K=V", "callback": _collected}
        elif tuple in kinds or option.name in _LISTS:
            kind = option.names or _LISTS.get(option.name)
            type_ = NamesType(tuple[str, ...], kind) if kind else ValueType(option.type)
            settings |= {"multiple": True, "type": type_, "callback": _collected}
        elif Sequence in kinds:
            settings |= {"multiple": True, "metavar": flag.strip("-").upper()}
        else:
            type_ = NameType(option.names) if option.names else _NAMES.get(option.name)
            type_ = type_ or ValueType(option.type)
            settings |= {"type": type_, "show_default": default not in (None, "")}
        super().__init__([*param_decls, flag, option.name], **settings)


def _collected(ctx: click.Context, param: click.Parameter, values: Sequence[Any]) -> Any:  # noqa: ARG001
    """Return the value of an option that may be repeated: a table, or the values of several lists."""
    if not values and isinstance(param, Flag) and param.training:
        return None
    if isinstance(param.type, ValueType):
        return tuple(itertools.chain(*values))
    return options.parse(values, what=param.opts[0])


def flag_of(name: str) -> str:
    """Return the flag for a parameter or a training option, such as `--batch-size`."""
    declared_here = fields_of(TrainConfig).get(name)
    return declared_here.typed if declared_here else _RENAMED.get(name) or flag_named(name)


def words_of(flag: str, table: Mapping[str, Any]) -> list[str]:
    """Return the words of a repeatable KEY=VALUE option, such as `--data root=images`."""
    return [word for key, value in table.items() for word in (flag, f"{key}={options.text(value)}")]


def options_of(
    function: Callable[..., Any], *, only: Collection[str] = (), skip: Collection[str] = ()
) -> Callable[[F], F]:
    """Return a decorator that adds an option for each argument of the function that has a default.

    The help text of an option is the description of the argument under `Args` in the docstring. A mapping
    becomes a repeatable KEY=VALUE option, and a sequence becomes a repeatable option. In the message of an
    OptionError that the command raises, argument names are replaced with flags.

    Args:
        only: arguments to turn into options; by default, all.
        skip: arguments that the command declares itself.
    """
    chosen = [
        option
        for name, option in declared(function).items()
        if not option.required and name not in {*_BY_COMMAND, *skip} and (not only or name in only)
    ]

    def decorate(command: F) -> F:
        for option in reversed(chosen):
            command = click.option(cls=Flag, option=option)(command)
        return flags_in_errors(command)

    return decorate


def flags_in_errors(command: F) -> F:
    """Replace Python names with flags in an OptionError, for options that were set on the command line.

    Examples of such messages are `batch_size must be at least 1` and `ema_decay=0.9 and nonmono=5 cannot be
    combined`. Options that a recipe sets keep their Python names.
    """

    @functools.wraps(command)
    def naming(*arguments: Any, **settings: Any) -> Any:
        try:
            return command(*arguments, **settings)
        except OptionError as error:
            error.args = (_with_flags(str(error)),)
            raise

    return naming  # type: ignore[return-value]


def _with_flags(message: str) -> str:
    ctx = click.get_current_context()
    names = [param.name or "" for param in ctx.command.get_params(ctx) if isinstance(param, click.Option)]
    names = [name for name in names if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if not names:
        return message
    one = f"({'|'.join(names)})"
    named = rf"^{one}(?=: |{_VERBS})|(?<![-\w]){one}(?==)"
    return re.sub(named, lambda found: flag_of(found[0]), message)


class TrainingCommand(click.Command):
    """A command with a flag for each training option.

    The options that the user sets are passed as the argument `training`. Training options from plugins are
    looked up when the command is used. `--help` lists the training options by group, with the defaults of the
    recipe or architecture given on the command line.

    Args:
        skip: common training options that the command omits.
        more: other options that are always passed in `training`.
    """

    def __init__(
        self, *arguments: Any, skip: Collection[str] = (), more: Collection[str] = (), **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self._skip = skip
        self._more = more

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, and a flag for each training option."""
        *own, help_ = super().get_params(ctx)
        return [*own, *self._flags(ctx), help_]

    def _flags(self, ctx: click.Context) -> list[Flag]:
        if _FLAGS not in ctx.meta:
            fields = fields_of(TrainConfig)
            with contextlib.suppress(ZooError):  # the command says so, once its options are known
                fields = registry_of(ctx).training_options
            chosen = [option for name, option in fields.items() if name not in self._skip]
            ctx.meta[_FLAGS] = [Flag(option=option, training=True) for option in chosen]
        return ctx.meta[_FLAGS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = [*args]
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:  # for completion
            return rest
        named = [ctx.params[param.name] for param in self.params if isinstance(param, click.Argument)]
        named = [word for word in (*named, *rest) if word]
        for word in named:
            if "=" in word:
                raise click.NoSuchOption(word.partition("=")[0], ctx=ctx)
        if rest:
            ctx.fail(f"expected RECIPE, or ARCH and DATASET (got {' '.join(named)})")
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        training = {name: ctx.params.pop(name) for name in self._more}
        fields = {flag.name: ctx.params.pop(flag.name) for flag in self._flags(ctx)}
        training |= {name: value for name, value in fields.items() if value is not None}
        ctx.params["training"] = training
        return super().invoke(ctx)

    def get_help(self, ctx: click.Context) -> str:
        return printable(super().get_help(ctx), keep="\n")  # there are values of recipes in it

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then the training options by group.

        Training options that the named recipe or architecture does not have are omitted.
        """
        name, config = _named(ctx)
        about = f"as in {name}" if name else f"defaults: `{ctx.command_path} NAME --help`"
        records = [param.get_help_record(ctx) for param in super().get_params(ctx)]
        sections = {"Options": [record for record in records if record]}
        for flag in self._flags(ctx):
            record = flag.get_help_record(ctx)
            if record and (not name or flag.name in config):
                title = f"Training options for {flag.group}" if flag.group else f"Training options ({about})"
                default = f"  [default: {options.text(config[flag.name])}]" if name and flag.name else ""
                sections.setdefault(title, []).append((record[0], record[1] + default))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _named(ctx: click.Context) -> tuple[str, dict[str, Any]]:
    """Return the recipe or architecture on the command line, and the training options that apply to it."""
    registry = registry_of(ctx)
    for word in ctx.meta.get(_WORDS, []):
        with contextlib.suppress(ZooError):  # no such name, or a recipe of a plugin that is not there
            kind = registry.find(word, "recipe", "architecture").kind
            recipe = registry.recipe(word) if kind == "recipe" else Recipe(architecture=word, dataset="")
            return word, registry.training_config(recipe).to_dict()
    return "", {}
