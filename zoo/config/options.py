"""Check options against types: `key=value` arguments, TOML tables, or keyword arguments."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec
import rtoml

from zoo.config.declarations import resolved_hints
from zoo.config.near_names import did_you_mean
from zoo.config.synonyms import meant
from zoo.errors import OptionError

T = TypeVar("T")

_WORDS = {"Int": "an integer", "Float": "a number", "Str": "a string", "Bool": "true or false"}
_BOUNDS = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}
# The most names that an error lists
_FEW = 8
# What an item of a list that is separated by commas cannot start with
_OPENING = ("", "[", "{", '"')
# Errors that msgspec raises; the last two are for half of a surrogate pair and for a NumPy array
_UNFIT = (msgspec.ValidationError, UnicodeError, AttributeError)
# Types of values that are what they stand for; to look at those of others takes longer
_PLAIN = frozenset((str, bool, int, float, dict, type(None)))
# Descriptions that say nothing about the keys and values of a table
_VAGUE = ("any", "a string")


class Typed(str):
    """A value as the user typed it, such as `0.1`; `convert` parses it according to the option's type."""

    __slots__ = ()


def parse(words: Iterable[str], *, what: str) -> dict[str, Any]:
    """Split `key=value` arguments; the values are `Typed`.

    Raises OptionError for an argument without `=` or a repeated key; the message names `what`, such as
    `--data`.
    """
    options: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        key = key.strip().replace("-", "_")
        if not separator or not key:
            raise OptionError(f"{what} expects KEY=VALUE (got {word!r})")
        if key in options:
            raise OptionError(f"{what} sets {key} twice")
        options[key] = Typed(value)
    return options


def text(value: object) -> str:
    """Return a value as a user would type it; `convert(Typed(text(value)), type)` restores the value.

    >>> text((8, 16, 32))
    '8,16,32'
    """
    if isinstance(value, list | tuple):
        items = [*map(text, cast("list[object]", value))]
        plain = all(item == item.strip() and "," not in item and item[:1] not in _OPENING for item in items)
        plain = plain and [item.lower() for item in items] != ["none"]
        return (",".join(items) or "none") if plain else _toml(value)
    if isinstance(value, str):
        same = _guess(value) == value or not isinstance(_guess(value), str)
        return value if same else _toml(value)
    return "none" if value is None else _toml(value)


def _toml(value: object) -> str:
    """Return a value as TOML, on one line; None is omitted from tables."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        table = cast("dict[str, object]", value).items()
        return f"{{{', '.join(f'{_toml(key)} = {_toml(item)}' for key, item in table if item is not None)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_toml, cast('list[object]', value)))}]"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()  # a string in JSON is one in TOML
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def check_names(
    given: Iterable[str], known: Iterable[str], *, what: str, place: str = "", hint: str | None = None
) -> None:
    """Raise OptionError for the first unknown name.

    Args:
        place: see `meant`.
        hint: hint that explains how to list the known names, if there are too many for the message.
    """
    known = sorted(known)
    for name in given:
        if name not in known:
            few = f" (known: {', '.join(known) or 'none'})" if len(known) <= _FEW or not hint else ""
            raise OptionError(
                f"{what} has no option {name!r}{meant(name, known, place=place) or few}", hint=hint
            )


def convert(value: object, type_: type[T], *, what: str) -> T:
    """Convert `value` to `type_`, or raise OptionError with the valid values of `what`.

    For a string type, an integer is also converted (a folder named 2024). For a tuple type, a string is split
    at commas (`crop,flip`). Typed text is parsed according to the type: `2024` as a number or a string,
    `True` as a boolean, `none` as None or an empty tuple. `plain` first converts NumPy numbers and paths,
    unless the type includes their class. An instance of a class in a union (`str | Path`) is returned
    unchanged.
    """
    if get_origin(type_) is Mapping and isinstance(value, dict):
        each = get_args(type_)[1]
        if get_origin(each) is Annotated:  # numbers, which the user may have typed
            table = cast("dict[str, object]", value)
            value = {key: convert(item, each, what=f"{what}: {key}") for key, item in table.items()}
    classes, data = _apart(type_)
    if isinstance(value, classes):
        return value  # type: ignore[return-value]
    for reading in _readings(value, data):
        try:
            converted = msgspec.convert(reading, data, strict=True)
        except _UNFIT:
            continue
        several: Any = converted
        for number in several if isinstance(several, list | tuple) else (several,):
            _require_representable(number, what)
        return converted
    given = _guess(value) if isinstance(value, Typed) else plain(value)
    if isinstance(value, Typed) and not isinstance(given, int | float | list):
        given = str(value)
    choices = [*map(str, get_args(data))] if get_origin(data) is Literal else []
    nearest = did_you_mean(str(given), choices) if choices and type(given) is str else ""
    raise OptionError(f"{what} must be {describe(type_, given)} (got {shown(given)}){nearest}")


def _require_representable(number: object, what: str) -> None:
    if isinstance(number, float) and not math.isfinite(number):
        raise OptionError(f"{what} must be finite (got {number})")
    if isinstance(number, int) and not in_64_bits(number):
        raise OptionError(f"{what} must be an integer of at most 64 bits (got {shown(number)})")


def _apart(type_: Any) -> tuple[tuple[type, ...], Any]:
    """Return the classes in a union, and a union of its other types."""
    parts = get_args(type_) if get_origin(type_) in (Union, UnionType) else ()
    classes = tuple(part for part in parts if isinstance(part, type) and part.__module__ != "builtins")
    if not classes:
        return (), type_
    return classes, Union[tuple(part for part in parts if part not in classes)]  # noqa: UP007


def plain(value: object) -> object:
    """Convert NumPy numbers to Python numbers, arrays to lists, and paths to strings; keep other values."""
    if isinstance(value, list | tuple | range):
        items = map(plain, cast("list[object]", value))
        return tuple(items) if isinstance(value, tuple) else [*items]
    if type(value) in _PLAIN:
        return value
    if isinstance(value, PurePath):
        return str(value)
    return cast("Any", value).tolist() if hasattr(value, "__array__") else value


def in_64_bits(number: int) -> bool:
    """Return whether an integer fits in 64 bits, the limit for files, tensors and random seeds."""
    return -(2**63) <= number < 2**63


def shown(value: object) -> str:
    """Return a value as shown in error messages, with at most 80 characters."""
    try:
        text = repr(value)
    except Exception:  # an integer of thousands of digits, or an object of the user's own
        text = f"{'an' if isinstance(value, int) else 'a'} {type(value).__name__} that cannot be shown"
    return f"{' '.join(text.split()):.80}"


def _readings(value: object, type_: Any) -> Iterator[object]:
    """Yield the possible interpretations of a value, the most likely first."""
    if isinstance(value, Typed):
        yield from _typed_readings(value)
        return
    yield value
    if type(value) not in _PLAIN:
        value = plain(value)
        yield value
    if type(value) is int and in_64_bits(value) and type_ in (str, str | None):
        yield str(value)
    if type(value) is str and get_origin(type_) is tuple:
        yield _words(value)


def _typed_readings(typed: Typed) -> Iterator[object]:
    value = _guess(typed)
    if value != typed:
        yield value
    if typed.lower() == "none":
        yield from (None, ())
    if typed.lower() in ("true", "false"):
        yield typed.lower() == "true"
    with contextlib.suppress(ValueError):
        yield float(typed)  # `.5` is not TOML
    words = _words(typed)
    values = [*map(_guess, words)]
    if len(words) > 1 and not any(isinstance(value, str) for value in values):
        yield values
    yield from (str(typed), values, words)


def _guess(typed: str) -> object:
    """Parse a typed value as TOML, or return the string itself."""
    try:
        table = rtoml.loads(f"value = {typed}")
    except (ValueError, RecursionError):  # not TOML, or a number of thousands of digits
        return str(typed)
    return table["value"] if table.keys() == {"value"} else str(typed)  # more keys: there was a newline


def _words(typed: str) -> list[str]:
    return [word.strip() for word in typed.split(",") if word.strip()]


def convert_table(value: object, type_: type[T], *, what: str) -> T:
    """Convert a table to a TypedDict or a dataclass, or raise OptionError with the invalid key."""
    try:
        return msgspec.convert(value, type_, strict=True)
    except msgspec.ValidationError as error:
        raise OptionError(f"{what}: {reason(error)}") from None
    except RecursionError:
        raise OptionError(f"{what}: the table is nested too deeply") from None


def reason(error: msgspec.ValidationError) -> str:
    """Return the message of a msgspec error, starting with the field: `seed: expected int, got str`."""
    text, _, place = str(error).replace("`", "").partition(" - at $")
    return f"{place.lstrip('.')}: {text[0].lower()}{text[1:]}".removeprefix(": ")


def with_checked(instance: T, **values: Any) -> T:
    """Return a copy of a frozen dataclass with some values replaced, without checking them again."""
    changed = copy.copy(instance)
    for name, value in values.items():
        object.__setattr__(changed, name, value)
    return changed


def validate(instance: Any, *, what: str = "") -> None:
    """Check each field of a frozen dataclass against its annotation; convert it if necessary.

    Every instance is therefore valid, whether it comes from Python (where msgspec does not check), a plugin
    or a file. Defaults are not checked. Raises OptionError; the message starts with `what` and the name of
    the field.
    """
    types = resolved_hints(type(instance))
    for field in dataclasses.fields(instance):
        value, type_ = getattr(instance, field.name), types[field.name]
        if value is not field.default and not (type_ is str and type(value) is str):
            converted = convert(value, type_, what=f"{what} {field.name}".strip())
            object.__setattr__(instance, field.name, converted)


def describe(type_: Any, value: object = None) -> str:
    """Describe the valid values of a type: `an integer`, or `at least 1` if `value` is too small.

    >>> describe(int | None)
    'an integer or none'
    """
    from msgspec.inspect import type_info  # slow to import

    parts = get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)
    bounds = [_bound(type_info(part), value) for part in parts]
    return next(filter(None, bounds), " or ".join(_describe(type_info(part)) for part in parts))


def _describe(info: Any) -> str:
    described = (getattr(info, "extra_json_schema", None) or {}).get("description")  # of `Meta`
    if described:
        return described
    kind = type(info).__name__.removesuffix("Type")
    if kind == "Literal":
        return f"{'one of ' * (len(info.values) > 1)}{', '.join(map(repr, info.values))}"
    if kind == "Union":
        return " or ".join(map(_describe, info.types))
    if kind in ("VarTuple", "List", "Collection"):
        return f"a list, each item {_describe(info.item_type)}"
    if kind == "Dict":
        parts = (("key", _describe(info.key_type)), ("value", _describe(info.value_type)))
        return "a table" + "".join(f", each {part} {text}" for part, text in parts if text not in _VAGUE)
    if kind in ("Dataclass", "Custom"):
        return "a path" if info.cls is Path else f"a {info.cls.__name__}"
    return _WORDS.get(kind, kind.lower())


def _bound(info: Any, value: object) -> str:
    """Return the bound that a number violates, or an empty string."""
    kind = type(info).__name__
    if kind not in ("IntType", "FloatType") or type(value) not in (int, float):
        return ""
    if kind == "IntType" and type(value) is float:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "finite"
    for name, words in _BOUNDS.items():
        bound = getattr(info, name)
        if bound is not None and not getattr(operator, name)(value, bound):
            return f"{words} {bound:,}"
    return ""
