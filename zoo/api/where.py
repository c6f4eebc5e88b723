"""`--where`: comparisons over the keys of a row, joined by `and`. Parsed, never evaluated as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from zoo.errors import OptionError

__all__ = ["parse_where"]

_TERM = re.compile(r"\s*([a-z_]+)\s*(==|!=|<=|>=|=|<|>|~)\s*(.*?)\s*")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda held, sought: str(sought) in str(held),
}


def parse_where(text: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """Return the predicate of an expression such as `task=classification and params<1e6`; None .

    `~` asks whether the value contains a text. A row without the key does not fit, except for `!=`.
    Raises OptionError where the text is no such expression.
    """
    terms: list[tuple[str, str, Any]] = []
    for part in re.split(r"\s+and\s+", text) if text is not None else ():
        found = _TERM.fullmatch(part)
        if found is None or not found[3]:
            raise OptionError(
                f"--where: {part!r} is not a comparison",
                hint="write KEY=VALUE, with = != < <= > >= or ~ (contains), joined by 'and'",
            )
        terms.append((found[1], found[2], _value(found[3])))
    return lambda row: all(_holds(row.get(key), sign, value) for key, sign, value in terms)


def _value(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word.strip("'\"")


def _holds(held: Any, sign: str, sought: Any) -> bool:
    if held is None:
        return sign == "!="
    if sign in ("<", "<=", ">", ">=") and isinstance(held, str) != isinstance(sought, str):
        return False
    return _COMPARE[sign](held, sought)
