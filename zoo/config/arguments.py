"""The arguments of public functions, checked: Python itself would object late, and in words of its own."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from zoo.config import options
from zoo.config.synonyms import meant
from zoo.errors import OptionError

__all__ = ["check_keywords", "checked", "is_url", "refuse_device", "refuse_url"]

P = ParamSpec("P")
R = TypeVar("R")

# What the parts of an annotation ask for. Other parts are classes, which a value must be of
_WORDS: Mapping[str, str] = {
    "Mapping[str, Any]": "a dict with strings for keys",
    "Path": "a path",
    "PrecisionName": "a string",
    "Sequence[int]": "a list of integers",
    "Sequence[str]": "a list of strings",
    "Split": "a string",
    "bool": "True or False",
    "float": "a number",
    "int": "an integer of at most 64 bits",
    "str": "a string",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that first checks each argument against its annotation.

    A number of numpy's becomes one of Python's. Raises OptionError naming the argument, what it must be and
    what was given; or for an argument that there is not.
    """
    signature = inspect.signature(function)
    varied = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())

    @functools.wraps(function)
    def checking(*arguments: P.args, **named: P.kwargs) -> R:
        if not varied:
            check_keywords(named, signature.parameters, of=function.__qualname__)
        bound = signature.bind(*arguments, **named)
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            parts = written(parameter).split(" | ")
            if parameter.kind is parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_checked(name, item, parts) for item in value)
            elif parameter.kind is not parameter.VAR_KEYWORD and name != "self":
                bound.arguments[name] = _checked(name, value, parts)
        return function(*bound.args, **bound.kwargs)

    return checking


def check_keywords(given: Iterable[str], known: Iterable[str], *, of: str) -> None:
    """Raise OptionError for the first argument that a function such as `Model.predict` does not take."""
    what, place = of.removesuffix(".__init__"), of.rpartition(".")[2]
    options.check_names(given, known, what=what, place=place, hint=f"help(zoo.{what}) lists its options")


def is_url(text: str) -> bool:
    """Return whether a text is a web address, or another with a scheme, such as `s3://bucket/key`."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text))


def refuse_url(path: str | Path) -> None:
    """Raise OptionError for a URL in place of a path: `Path` would lose one of its slashes."""
    if is_url(str(path)) and not os.path.lexists(path):  # a folder may be called `imgs:`
        raise OptionError(f"{options.shown(str(path))} is a URL, not a path")


def refuse_device(name: str | None) -> None:
    """Raise OptionError for what is no device on any machine; torch knows those of this one."""
    if name is not None and not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", name):
        nearest = meant(name.lower(), (), place="device") or "; use cpu, cuda, cuda:1 or mps"
        raise OptionError(f"there is no device {name!r}{nearest}")


def written(parameter: inspect.Parameter) -> str:
    """Return an annotation as it is written."""
    if isinstance(parameter.annotation, str):
        return parameter.annotation
    return re.sub(
        r"\b(collections\.abc|typing|pathlib)\.", "", inspect.formatannotation(parameter.annotation)
    )


def _checked(name: str, value: object, parts: Sequence[str]) -> object:
    value = options.plain_number(value)
    if not any(_is(value, part) for part in parts):
        wanted = " or ".join(_WORDS.get(part, f"a {part}") for part in parts if part != "None")
        raise OptionError(f"{name} must be {wanted} (got {options.shown(value)})")
    if "Path" in parts and isinstance(value, str | Path):
        _require_path(name, value)
    return value


def _require_path(name: str, path: str | Path) -> None:
    """Raise OptionError for what no file can be called, and for a URL."""
    refuse_url(path)
    try:
        os.lstat(path)
    except ValueError:  # a zero byte, or half a surrogate pair
        raise OptionError(f"{name} must be a path (got {options.shown(str(path))})") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OptionError(f"{name} is too long for a path (got {options.shown(str(path))})") from None


def _is(value: object, part: str) -> bool:
    """Return whether a value is what one part of an annotation says."""
    if part == "None":
        return value is None
    if part == "Mapping[str, Any]":
        keys = cast("Iterable[object]", value) if isinstance(value, Mapping) else (None,)
        return all(isinstance(key, str) for key in keys)
    if part.startswith("Sequence["):
        item = part.removeprefix("Sequence[").removesuffix("]")
        several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return several and all(_is(options.plain_number(one), item) for one in cast("Iterable[Any]", value))
    if part == "float" and isinstance(value, float):
        return True
    if part in ("int", "float"):
        return isinstance(value, int) and not isinstance(value, bool) and options.in_64_bits(value)
    wanted = "str" if part in ("Split", "PrecisionName") else part
    return any(kind.__name__ == wanted for kind in type(value).__mro__)
