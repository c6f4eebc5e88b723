"""Options as people give them: `key=value` words, TOML tables, and types that check them."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from zoo.errors import OptionError, did_you_mean

__all__ = ["check_names", "convert", "parse", "replace"]

T = TypeVar("T")


def parse(words: Iterable[str], *, what: str) -> dict[str, Any]:
    """Read `key=value` words. A value is TOML (`0.1`, `true`, `[1, 2]`); anything else is a string.

    Raises OptionError naming `what` (such as `--train`) for a word without `=` or a repeated key.
    """
    options: dict[str, Any] = {}
    for word in words:
        key, separator, raw = word.partition("=")
        key = key.strip().replace("-", "_")
        if not separator or not key:
            raise OptionError(f"{what} {word!r} is not of the form key=value")
        if key in options:
            raise OptionError(f"{what} {key} is given twice")
        try:
            table = tomllib.loads(f"value = {raw}")
        except tomllib.TOMLDecodeError:
            table = {}
        options[key] = table["value"] if table.keys() == {"value"} else raw  # more keys: raw had a newline
    return options


def check_names(given: Iterable[str], known: Iterable[str], *, what: str) -> None:
    """Raise OptionError for the first given name that is not known."""
    known = sorted(known)
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise OptionError(f"{what} has no option {name!r}{did_you_mean(name, known)} (known: {listed})")


def convert(value: object, type_: type[T], *, what: str) -> T:
    """Return `value` as `type_`, or raise OptionError saying what was expected and where.

    Where text is wanted a whole number is one too, such as a folder called 2024.
    """
    if type(value) is int and type_ in (str, str | None):
        value = str(value)
    try:
        converted = msgspec.convert(value, type_, strict=True)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        place = re.sub(r"^\.|`$", "", place)
        allowed = _choices(type_) if message.startswith("Invalid enum value") else ""
        detail = message[0].lower() + message[1:].replace("`", "")
        given = "" if place or allowed else f" ({value!r})"
        raise OptionError(f"{what}{' ' + place if place else ''}: {detail}{allowed}{given}") from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise OptionError(f"{what}: expected a finite number, got {converted}")
    return converted


def replace(base: T, changes: Mapping[str, Any], *, what: str) -> T:
    """Return the dataclass `base` with `changes` applied, each checked against its field's type.

    Where a field is a tuple, a string is its words between commas: `crop,flip`.
    """
    types = {f.name: f for f in dataclasses.fields(base)}  # type: ignore[arg-type]
    check_names(changes, types, what=what)
    hints = msgspec_hints(type(base))
    checked = {
        key: convert(_words(value, hints[key]), hints[key], what=f"{what} {key}")
        for key, value in changes.items()
    }
    return dataclasses.replace(base, **checked)  # type: ignore[type-var]


@functools.cache  # a listing asks dozens of times for those of Recipe
def msgspec_hints(owner: object) -> dict[str, Any]:
    """Return the resolved annotations of a class or a function, `Annotated` constraints kept."""
    return get_type_hints(owner, include_extras=True)


def _words(value: object, type_: Any) -> object:
    if get_origin(type_) is tuple and isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _choices(type_: Any) -> str:
    words = [repr(choice) for choice in _literals(type_)]
    return f" (one of {', '.join(words)})" if words else ""


def _literals(type_: Any) -> list[object]:
    """Return the values of a Literal, or of the Literals inside a container such as `tuple[Literal, ...]`."""
    if get_origin(type_) is Literal:
        return list(get_args(type_))
    return [word for part in get_args(type_) for word in _literals(part)]
