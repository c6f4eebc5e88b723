"""Options made from the function behind a command: its names, types and defaults, its docstring as help."""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from zoo.cli.names import NameType
from zoo.config import options
from zoo.config.arguments import written
from zoo.config.declarations import declared
from zoo.errors import OptionError

__all__ = ["flag_of", "flags_in_errors", "key_values", "options_of", "typed"]

F = TypeVar("F", bound=Callable[..., Any])

_BY_COMMAND = {"device", "progress", "registry"}  # the same for every command
_FLAGS = {"from_weights": "--from", "classes": "--class", "options": "--option"}
_NAMES = {
    "dataset": NameType("dataset"),
    "from_weights": NameType("weights", runs=True),
    "to": NameType("exporter"),
}
_TYPES: Mapping[str, Any] = {
    "float": float,
    "int": int,
    "str": str,
    "str | Path": click.Path(),
    "Split": click.Choice(["train", "val", "test"]),
    "PrecisionName": click.Choice(["fp32", "bf16", "fp16", "auto"]),
}


def options_of(
    function: Callable[..., Any], *, only: Collection[str] = (), skip: Collection[str] = ()
) -> Callable[[F], F]:
    """Return a decorator that adds an option for each parameter of a function that has a default.

    What the docstring says of it under `Args` is the option's help. A mapping becomes a repeatable KEY=VALUE,
    a sequence an option that may be repeated. An OptionError of the command calls what was typed by its flag.

    Args:
        only: parameters to make options of; all by default.
        skip: parameters that the command takes in a way of its own.

    Raises TypeError for a parameter whose type no option can have.
    """
    helps = {name: option.help for name, option in declared(function).items()}
    parameters = [
        parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty and name not in {*_BY_COMMAND, *skip}
    ]

    def decorate(command: F) -> F:
        for parameter in reversed(parameters):
            if not only or parameter.name in only:
                command = _option(parameter, helps[parameter.name])(command)
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


def _option(parameter: inspect.Parameter, text: str) -> Callable[[F], F]:
    name, default, text = parameter.name, parameter.default, text.replace("`", "")
    flag = flag_of(name)
    type_ = written(parameter).removesuffix(" | None")
    about: dict[str, Any] = {"help": text[:1].upper() + text[1:]}
    if type_ == "bool":
        flag = f"{flag}/--no-{flag[2:]}" if default else flag
        about |= {"is_flag": True, "default": default, "show_default": default}
    elif type_.startswith("Mapping"):
        about |= {"multiple": True, "metavar": "K=V", "callback": key_values}
    elif type_.startswith("Sequence"):
        about |= {"multiple": True, "metavar": flag.strip("-").upper()}
    elif name not in _NAMES and type_ not in _TYPES:
        raise TypeError(f"{name}: an option cannot be {type_}; skip it, and add a click.option for it")
    else:
        type_ = _NAMES.get(name) or _TYPES[type_]
        about |= {"type": type_, "default": default, "show_default": default not in (None, "")}
    return click.option(flag, name, **about)


def key_values(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG001
    """Read KEY=VALUE words: a callback of an option that may be repeated."""
    return options.parse(words, what=param.opts[0])
