"""`where` filters: comparisons of a row's values, joined by `and`. They are never evaluated as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.config.near_names import did_you_mean
from zoo.errors import OptionError

_TERM = re.compile(r"\s*([a-z_][a-z0-9_.]*)\s*(==|!=|<=|>=|=|<|>|~)\s*(.*?)\s*")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matching(rows: Sequence[dict[str, Any]], where: str, *, what: str) -> list[dict[str, Any]]:
    """Return the rows that satisfy comparisons such as `task=classification and params<1e6`.

    `~` tests whether the value contains the given text. `task=NAME` also matches an analyzer whose
    tasks include NAME. A short name such as `cifar10` matches `images/cifar10`. A row without the key, or
    with None as its value, fails every comparison except `!=`.

    Args:
        what: noun for a row in error messages, such as `entry`.

    Raises OptionError if `where` is not a valid expression, or uses an unknown key.
    """
    terms: list[tuple[str, str, str]] = []
    for part in re.split(r"\s+and\s+", where):
        match = _TERM.fullmatch(part)
        if match is None or not match[3] or re.search(r"\s(and|or)$", match[3]):
            raise OptionError(
                f"where: {part!r} is not a comparison",
                hint="compare with = != < <= > >= or ~ (contains), and join comparisons with 'and'",
            )
        terms.append((match[1], match[2], match[3].strip("'\"")))
    _check(terms, rows, what)
    return [row for row in rows if all(_holds(row.get(key), sign, sought) for key, sign, sought in terms)]


def _check(terms: Sequence[tuple[str, str, str]], rows: Sequence[Mapping[str, Any]], what: str) -> None:
    known = sorted({key for row in rows for key in row})
    for key, sign, sought in terms:
        if rows and key not in known:
            near = did_you_mean(key, known)
            hint = None if near else f"keys: {', '.join(known)}"
            raise OptionError(f"where: no {what} has the key {key!r}{near}", hint=hint)
        types = {type(row[key]) for row in rows if row.get(key) is not None}
        if types and types <= {int, float} and isinstance(_value(sought), str) and sign != "~":
            hint = "write 90% as 0.9; join comparisons only with `and`"
            raise OptionError(f"where: {key} must be compared with a number (got {sought!r})", hint=hint)


def _value(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def _holds(value: Any, sign: str, word: str) -> bool:
    if value is None:
        return sign == "!="
    if sign == "~":
        return word in str(value)
    sought = word if isinstance(value, str) else _value(word)
    if sign in _ORDER:
        return isinstance(value, str) == isinstance(sought, str) and _ORDER[sign](value, sought)
    return _equal(value, sought) == (sign != "!=")


def _equal(value: Any, sought: Any) -> bool:
    if not isinstance(value, str):
        return sought == value
    return sought in (value, *(each.rpartition("/")[2] for each in value.split(", ")))
