"""Other values of an option than its default."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from zoo.config import options
from zoo.config.declarations import Option
from zoo.errors import OptionError

# What may be a value of an option, besides twice and half its default and what a choice offers
_VALUES = (True, False, 1, 2, 0.5, 0.1, 0, 10)


def other_values(option: Option) -> list[Any]:
    """Return valid values of an option other than its default; empty if none can be generated."""
    pool: list[Any] = [*_choices(option.type), *_VALUES]
    if isinstance(option.default, int | float):
        pool = [2 * option.default, option.default / 2, option.default // 2, *pool]
    pool += [(value,) for value in pool]
    found: list[Any] = []
    for value in pool:
        with contextlib.suppress(OptionError):
            valid = options.convert(value, option.type, what=option.name)
            made_up = isinstance(valid, str) and not isinstance(value, str)
            if valid != option.default and valid not in found and not made_up:
                found.append(valid)
    return found


def _choices(type_: Any) -> Iterator[Any]:
    """Yield the values of all choices in a type, including those of a list's items."""
    inner = get_args(type_)
    yield from inner if get_origin(type_) is Literal else itertools.chain.from_iterable(map(_choices, inner))
