"""Flags made from declared options: the arguments of the function behind a command, and training fields."""

import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from zoo.cli.names import NameType
from zoo.config import options
from zoo.config.declarations import Option, declared
from zoo.errors import OptionError

__all__ = ["ValueType", "flag_of", "flag_settings", "flags_in_errors", "key_values", "options_of", "typed"]

F = TypeVar("F", bound=Callable[..., Any])

_BY_COMMAND = {"device", "progress", "registry"}  # the same for every command
_FLAGS = {"from_weights": "--from", "classes": "--class", "options": "--option"}
_NAMES = {
    "dataset": NameType("dataset"),
    "from_weights": NameType("weights", runs=True),
    "to": NameType("exporter"),
}


class ValueType(click.ParamType[Any]):
    """A value of a type that an option may have, as typed.

    Args:
        type_: of `X | None`, the value is an X; a `Path` is given as a string.
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
        """Return the choices that start with the word so far, or with what follows its last comma."""
        if self._path:
            return [CompletionItem(incomplete, type="file")]
        before, comma, last = incomplete.rpartition(",") if self._listed else ("", "", incomplete)
        words = [*self.choices, *(["none"] if self._listed and not comma else [])]
        return [CompletionItem(f"{before}{comma}{word}") for word in words if word.startswith(last)]


def options_of(
    function: Callable[..., Any], *, only: Collection[str] = (), skip: Collection[str] = ()
) -> Callable[[F], F]:
    """Return a decorator that adds an option for each argument of a function that has a default.

    What the docstring says of it under `Args` is the option's help. A mapping becomes a repeatable KEY=VALUE,
    a sequence an option that may be repeated. An OptionError of the command calls what was typed by its flag.

    Args:
        only: arguments to make options of; all by default.
        skip: arguments that the command takes in a way of its own.
    """
    chosen = [
        option
        for name, option in declared(function).items()
        if not option.required and name not in {*_BY_COMMAND, *skip} and (not only or name in only)
    ]

    def decorate(command: F) -> F:
        for option in reversed(chosen):
            settings = flag_settings(option)
            command = click.option(*settings.pop("param_decls"), **settings)(command)
        return flags_in_errors(command)

    return decorate


def flags_in_errors(command: F) -> F:
    """Let an OptionError that names an option as Python does call it by its flag, if it was typed.

    Such as `batch_size must be at least 1`, or `ema_decay=0.9 and nonmono=5 both average weights`; what a
    recipe sets keeps its name.
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
    for param in ctx.command.get_params(ctx):
        name = str(param.name)
        if isinstance(param, click.Option) and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            subject = rf"^{name}(?=:| (must|cannot|does|is|requires) )"  # not `dynamic evaluation is for ...`
            message = re.sub(rf"{subject}|(?<!\S){name}(?==)", flag_of(name), message)
    return message


def flag_of(name: str) -> str:
    """Return the option that stands for a parameter or a training field, such as `--batch-size`."""
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def typed(name: str, value: object) -> list[str]:
    """Return the words that give a parameter or a training field a value."""
    if isinstance(value, bool):
        return [flag_of(name) if value else f"--no-{flag_of(name)[2:]}"]
    return [flag_of(name), options.text(value)]


def flag_settings(option: Option, *, field: bool = False) -> dict[str, Any]:
    """Return what `click.Option` takes for an option; a training field is unset unless it is given."""
    name, default, flag = option.name, None if field else option.default, flag_of(option.name)
    text = option.help.replace("`", "")
    settings: dict[str, Any] = {"default": default, "help": text[:1].upper() + text[1:]}
    parts = () if field else (option.type, *get_args(option.type))  # a field of several values has commas
    kinds: set[Any] = {*map(get_origin, parts)}
    if option.type is bool:
        flag = f"{flag}/--no-{flag[2:]}" if field or default else flag
        settings |= {"is_flag": True, "show_default": bool(default)}
    elif Mapping in kinds:
        settings |= {"multiple": True, "default": (), "metavar": "K=V", "callback": key_values}
    elif Sequence in kinds:
        settings |= {"multiple": True, "metavar": flag.strip("-").upper()}
    else:
        type_ = _NAMES.get(name) or ValueType(option.type)
        settings |= {"type": type_, "show_default": default not in (None, "")}
    return {"param_decls": [flag, name], **settings}


def key_values(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG001
    """Read KEY=VALUE words: a callback of an option that may be repeated."""
    return options.parse(words, what=param.opts[0])
