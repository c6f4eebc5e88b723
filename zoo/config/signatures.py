"""The options of a class or a function: its keyword arguments and their types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

from zoo.config import options
from zoo.config.docstrings import described
from zoo.config.training import TrainConfig, fields_of
from zoo.errors import OptionError

__all__ = [
    "bounded_options",
    "check_arguments",
    "option_rows",
    "option_types",
    "refuse_missing",
    "refuse_unknown",
    "required_options",
    "signature_options",
]


def signature_options(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword options of a class or function by name."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name: p for name, p in inspect.signature(target).parameters.items() if p.kind in kinds}


def option_types(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the resolved type of each annotated option.

    Raises NameError for an annotation that exists for type checkers only.
    """
    return options.resolved_hints(cast("Any", target).__init__ if inspect.isclass(target) else target)


def option_rows(target: Callable[..., Any]) -> list[dict[str, Any]]:
    """Return each option as JSON data: `{name, type, default, choices, minimum, maximum, help}`.

    The type is `bool`, `int`, `float`, `str`, `choice`, or `other`; a bound is None if there is none. An
    option without a default is left out: nobody can be asked for it by a form.
    """
    meanings, rows = described(target), list[dict[str, Any]]()
    try:
        types = option_types(target)
    except NameError:
        types = {}
    for name, option in signature_options(target).items():
        if option.default is not option.empty:
            kind = _kind(types.get(name, type(option.default)))
            rows.append({"name": name, "default": option.default, **kind, "help": meanings.get(name, "")})
    return rows


def _kind(type_: Any) -> dict[str, Any]:
    """Return the type, the choices and the bounds of an option."""
    from msgspec.inspect import type_info

    try:
        info: Any = type_info(type_)
    except TypeError:
        info = None
    word = type(info).__name__.removesuffix("Type").lower()
    word = {"literal": "choice"}.get(word, word)
    return {
        "type": word if word in ("bool", "int", "float", "str", "choice") else "other",
        "choices": [*info.values] if word == "choice" else None,
        "minimum": getattr(info, "ge", None),
        "maximum": getattr(info, "le", None),
    }


def bounded_options(target: Callable[..., Any]) -> set[str]:
    """Return the options that are switches, choices, or numbers with a declared minimum and maximum.

    No value of theirs can name a file or take more memory than the author of `target` has allowed.
    """
    from msgspec.inspect import multi_type_info

    try:
        types = option_types(target)
        names = [name for name in signature_options(target) if name in types]
        described = multi_type_info([types[name] for name in names])
    except (NameError, TypeError):  # for type checkers only, or nothing that an option can be
        return set()
    return {name for name, info in zip(names, described, strict=True) if _is_bounded(info)}


def _is_bounded(info: Any) -> bool:
    kind = type(info).__name__.removesuffix("Type")
    if kind == "Union":
        return all(map(_is_bounded, info.types))
    if kind in ("Int", "Float"):
        lower, upper = (info.ge, info.gt), (info.le, info.lt)
        return lower != (None, None) != upper
    return kind in ("Bool", "Literal", "None")


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str], *, what: str) -> None:
    """Raise OptionError for the first given option that is not known, or is a training field.

    Args:
        what: the kind and the name of the entry: `dataset text/files`.
    """
    for name in given.keys() & fields_of(TrainConfig).keys() - {*known}:
        hint = f"write --{name.replace('_', '-')} {options.text(given[name])}, or {name}=... in Python"
        raise OptionError(f"{name} is a training field, not an option of {what}", hint=hint)
    kind, _, name = what.partition(" ")
    hint = f"`zoo show {name}` lists its options"
    options.check_names(given, known, what=what, place=kind, hint=hint)


def required_options(target: Callable[..., Any]) -> list[str]:
    """Return the names of the options of a callable that have no default."""
    return [name for name, option in signature_options(target).items() if option.default is option.empty]


def refuse_missing(given: Collection[str], required: Iterable[str], *, what: str, flag: str) -> None:
    """Raise OptionError for required options that are not given."""
    missing = [name for name in required if name not in given]
    if missing:
        hint = " ".join(f"{flag} {name}=..." for name in missing)
        raise OptionError(f"{what} requires {', '.join(missing)}", hint=f"add {hint}")


def check_arguments(
    target: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    what: str,
    flag: str,
    filled: Collection[str] = (),
) -> dict[str, Any]:
    """Return the options given to `target`, each converted to the type of its argument.

    Args:
        what: what `target` is, for messages, such as `dataset text/files`.
        flag: how the command line spells an option, such as `--data`.
        filled: required arguments that somebody else fills in.

    Raises:
        OptionError: an option is unknown, missing or of the wrong type.
    """
    known = signature_options(target)
    refuse_unknown(given, known, what=what)
    try:
        types = option_types(target)
    except NameError:
        types = {}
    refuse_missing({*given, *filled}, required_options(target), what=what, flag=flag)
    return {
        key: options.convert(value, types.get(key, Any), what=f"{what}: {key}")
        for key, value in given.items()
    }
