"""Look up zoo's equivalents of names from other libraries and tools in synonyms.toml."""

import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import rtoml

from zoo.config.near_names import did_you_mean


@functools.cache
def _tables() -> Mapping[str, Mapping[str, Sequence[str]]]:
    return rtoml.load(Path(__file__).with_suffix(".toml"))


def ways(name: str, *places: str) -> list[str]:
    """Return zoo's equivalents of a name from another library, the most likely first.

    Args:
        places: where the name was used: names of tables in synonyms.toml.

    >>> ways("learning_rate", "options")
    ['lr']
    """
    tables = [_tables().get(place, {}) for place in places]
    return [way for table in tables for way, names in table.items() if name in names]


def meant(name: str, known: Collection[str], *, place: str) -> str:
    """Return the end of a message about an unknown name: zoo's equivalent or the closest name, if any.

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
    """Raise AttributeError for a missing attribute; for use in `__getattr__`.

    If zoo has no equivalent of the name, Python's original error is raised, such as an error in a property.
    """
    kind = type(owner).__name__
    way = "" if name.startswith("_") else meant(name, (), place=kind)
    if not way:
        object.__getattribute__(owner, name)
    raise AttributeError(f"'zoo.{kind}' object has no attribute {name!r}{way}")
