"""Check the options given to an architecture, a dataset or an analyzer against its declaration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from zoo.config import options
from zoo.config.declarations import declared
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import OptionError


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str], *, what: str) -> None:
    """Raise OptionError for the first option that is unknown or is a training option.

    Args:
        what: the kind and name of the entry, such as `dataset text/files`.
    """
    for name in given.keys() & fields_of(TrainConfig).keys() - {*known}:
        hint = f"use --{name.replace('_', '-')} {options.text(given[name])}, or {name}=... in Python"
        raise OptionError(f"{name} is a training option, not an option of {what}", hint=hint)
    kind, _, name = what.partition(" ")
    hint = f"`zoo show {name}` lists its options"
    options.check_names(given, known, what=what, place=kind, hint=hint)


def refuse_missing(given: Collection[str], required: Iterable[str], *, what: str, flag: str) -> None:
    """Raise OptionError if required options are missing."""
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
        what: description of `target` for messages, such as `dataset text/files`.
        flag: command-line flag for these options, such as `--data`.
        filled: required arguments that the caller fills in later.

    Raises:
        OptionError: an option is unknown, missing or of the wrong type.
    """
    known = declared(target)
    refuse_unknown(given, known, what=what)
    required = [name for name, option in known.items() if option.required]
    refuse_missing({*given, *filled}, required, what=what, flag=flag)
    return {
        key: options.convert(value, known[key].type, what=f"{what}: {key}") for key, value in given.items()
    }
