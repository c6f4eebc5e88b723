"""What other libraries and tools call things, and what zoo has instead: the rows of synonyms.toml."""

import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import rtoml

from zoo.errors import did_you_mean


@functools.cache
def _tables() -> Mapping[str, Mapping[str, Sequence[str]]]:
    return rtoml.load(Path(__file__).with_suffix(".toml"))


def ways(name: str, *places: str) -> list[str]:
    """Return what zoo has instead of something that others call by a name, the likeliest first.

    Args:
        places: where it was looked for, which are the tables of synonyms.toml.

    >>> ways("learning_rate", "options")
    ['lr']
    """
    tables = [_tables().get(place, {}) for place in places]
    return [way for table in tables for way, names in table.items() if name in names]


def meant(name: str, known: Collection[str], *, place: str) -> str:
    """Return how an error for a wrong name goes on, with zoo's way or the nearest name; empty if neither.

    Args:
        known: the names that there are.
        place: where it was looked for: `zoo`, a class, a function, or a kind of entry.
    """
    others = [way for way in ways(name, "options") if way in known]
    way = next(iter(ways(name, place) + others), "")
    if way and not way.isidentifier():
        return f"; {way.replace('{}', name)}"
    return f"; did you mean {way!r}?" if way else did_you_mean(name, known)


def refuse_attribute(owner: object, name: str) -> NoReturn:
    """Raise AttributeError for an attribute that could not be read, for `__getattr__`.

    Python's own error, such as that of a property, unless the name is one that zoo has another way for.
    """
    kind = type(owner).__name__
    way = "" if name.startswith("_") else meant(name, (), place=kind)
    if not way:
        object.__getattribute__(owner, name)
    raise AttributeError(f"a zoo.{kind} has no attribute {name!r}{way}")
