"""Check the arguments of public functions earlier than Python does, and with clearer messages."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_args

from zoo.config import options
from zoo.config.declarations import Option, declared
from zoo.config.recipe import Recipe
from zoo.config.synonyms import meant
from zoo.errors import OptionError

# The hint for a class in place of the name of an architecture or a recipe
_NEEDS_NAME = "only zoo.train takes a class of a Python session; write a plugin to give it a name"

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that each argument is first checked against its annotation.

    NumPy numbers are converted to Python numbers. The wrapper raises OptionError for an unknown argument and
    for an invalid value; the message names the argument, its valid values and the given value.
    """
    signature = inspect.signature(function)
    varied = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())

    @functools.wraps(function)
    def checking(*arguments: P.args, **named: P.kwargs) -> R:
        if not varied:
            check_keywords(named, signature.parameters, of=function.__qualname__)
        bound = signature.bind(*arguments, **named)
        for name, option in declared(function).items():
            if name in bound.arguments:
                bound.arguments[name] = _checked(bound.arguments[name], option)
        return function(*bound.args, **bound.kwargs)

    return checking


def check_keywords(given: Iterable[str], known: Iterable[str], *, of: str) -> None:
    """Raise OptionError for the first argument that a function such as `Model.predict` does not accept."""
    what, place = of.removesuffix(".__init__"), of.rpartition(".")[2]
    options.check_names(given, known, what=what, place=place, hint=f"help(zoo.{what}) lists its options")


def is_url(text: str) -> bool:
    """Return whether a string is a URL, such as `https://example.com` or `s3://bucket/key`."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text))


def refuse_url(path: str | Path) -> None:
    """Raise OptionError if a path is a URL: `Path` would drop one of its slashes."""
    if is_url(str(path)) and not os.path.lexists(path):  # a folder may be called `imgs:`
        raise OptionError(f"{options.shown(str(path))} is a URL, not a path")


def refuse_device(name: str | None) -> None:
    """Raise OptionError for an unknown device name; torch checks whether this machine has the device."""
    if name is not None and not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", name):
        nearest = meant(name.lower(), (), place="device") or "; use cpu, cuda, cuda:1 or mps"
        raise OptionError(f"unknown device {name!r}{nearest}")


def _checked(value: object, option: Option) -> object:
    if option.type is Any or option.type is object:
        return value
    try:
        value = options.convert(value, option.type, what=option.name)
    except OptionError as error:
        if callable(value) and Recipe in get_args(option.type):
            raise OptionError(str(error), hint=_NEEDS_NAME) from None
        raise
    if Path in get_args(option.type) and isinstance(value, str | Path):
        _require_path(option.name, value)
    return value


def _require_path(name: str, path: str | Path) -> None:
    """Raise OptionError for an invalid file name or a URL."""
    refuse_url(path)
    try:
        os.lstat(path)
    except ValueError:  # a zero byte, or half a surrogate pair
        raise OptionError(f"{name} must be a path (got {options.shown(str(path))})") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OptionError(f"{name} is too long for a path (got {options.shown(str(path))})") from None
