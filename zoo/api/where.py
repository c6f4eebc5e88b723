"""`where`: comparisons over the keys of a row, joined by `and`. Parsed, never evaluated as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from zoo.errors import OptionError, did_you_mean

__all__ = ["Where", "parse_where"]

_TERM = re.compile(r"\s*([a-z_]+)\s*(==|!=|<=|>=|=|<|>|~)\s*(.*?)\s*")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, sought: _equal(value, sought),
    "==": lambda value, sought: _equal(value, sought),
    "!=": lambda value, sought: not _equal(value, sought),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda value, sought: str(sought) in str(value),
}


class Where(msgspec.Struct, frozen=True):
    """Comparisons (key, sign, value) that a row must all fulfil.

    A row that lacks the key, or has None there, fails every comparison except `!=`.
    """

    terms: Sequence[tuple[str, str, Any]]

    def __call__(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row fulfils all comparisons."""
        return all(_holds(row.get(key), sign, sought) for key, sign, sought in self.terms)

    def check(self, rows: Sequence[Mapping[str, Any]], *, what: str) -> None:
        """Raise OptionError for a key that no row has.

        Args:
            what: what a row is, such as `entry`.
        """
        known = sorted({key for row in rows for key in row})
        for key, sign, sought in self.terms:
            if rows and key not in known:
                message = f"where: no {what} has the key {key!r}{did_you_mean(key, known)}"
                raise OptionError(message, hint=f"keys: {', '.join(known)}")
            types = {type(row[key]) for row in rows if row.get(key) is not None}
            if types and types <= {int, float} and isinstance(sought, str) and sign != "~":
                hint = "a share of 90 % is 0.9; `and` joins comparisons, and there is no `or`"
                raise OptionError(f"where: {key} is a number (got {sought!r})", hint=hint)


def parse_where(text: str | None) -> Where:
    """Return the comparisons of an expression such as `task=classification and params<1e6`.

    `~` means that the value contains a text. Several tasks of an analyzer are equal to each of them, and
    `images/cifar10` is equal to `cifar10` too. None is true for every row.

    Raises OptionError if the text is not such an expression.
    """
    terms: list[tuple[str, str, Any]] = []
    for part in re.split(r"\s+and\s+", text) if text is not None else ():
        match = _TERM.fullmatch(part)
        if match is None or not match[3] or re.search(r"\s(and|or)$", match[3]):
            raise OptionError(
                f"where: {part!r} is not a comparison",
                hint="write KEY=VALUE, with = != < <= > >= or ~ (contains), joined by 'and'",
            )
        terms.append((match[1], match[2], _value(match[3])))
    return Where(terms)


def _equal(value: Any, sought: Any) -> bool:
    if not isinstance(value, str):
        return sought == value
    several = value.split(", ")
    return sought in (value, *several, *(each.rpartition("/")[2] for each in several))


def _value(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word.strip("'\"")


def _holds(value: Any, sign: str, sought: Any) -> bool:
    if value is None:
        return sign == "!="
    if sign in ("<", "<=", ">", ">=") and isinstance(value, str) != isinstance(sought, str):
        return False
    return _COMPARE[sign](value, sought)
