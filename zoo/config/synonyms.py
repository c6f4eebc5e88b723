"""Names from other libraries and tools, and zoo's equivalents: the rows of synonyms.toml."""

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
    """Return zoo's equivalents of a name from another library, the likeliest first.

    Args:
        places: where the name was used; these are tables of synonyms.toml.

    >>> ways("learning_rate", "options")
    ['lr']
    """
    tables = [_tables().get(place, {}) for place in places]
    return [way for table in tables for way, names in table.items() if name in names]


def meant(name: str, known: Collection[str], *, place: str) -> str:
    """Return the end of a message about a wrong name: zoo's equivalent or the nearest name, if any.

    Args:
        known: the valid names.
        place: where the name was used: `zoo`, a class, a function, or a kind of entry.
    """
    others = [way for way in ways(name, "options") if way in known]
    way = next(iter(ways(name, place) + others), "")
    if way and not way.isidentifier():
        return f"; {way.replace('{}', name)}"
    return f"; did you mean {way!r}?" if way else did_you_mean(name, known)


def refuse_attribute(owner: object, name: str) -> NoReturn:
    """Raise AttributeError for a missing attribute, from `__getattr__`.

    Raise Python's own error, such as one from a property, unless zoo has an equivalent of the name.
    """
    kind = type(owner).__name__
    way = "" if name.startswith("_") else meant(name, (), place=kind)
    if not way:
        object.__getattribute__(owner, name)
    raise AttributeError(f"a zoo.{kind} has no attribute {name!r}{way}")
