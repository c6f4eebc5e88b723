"""Recipes or weights from everywhere: registry.toml, zoo's and the user's, and the plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from zoo.errors import AmbiguousName, warn

__all__ = ["Layered"]

T = TypeVar("T")


class Layered(Mapping[str, T]):
    """Things of one kind by the name under which they are listed.

    That is the plain name for those of registry.toml, and `plugin/name` for those of plugins, which can be
    found by their short names too.

    Args:
        kind: what they are, for messages.
        catalog: those of registry.toml; nobody can take their names.
        plugins: those of plugins, by full name.
    """

    def __init__(self, kind: str, catalog: Mapping[str, T], plugins: Mapping[str, T]) -> None:
        self.kind = kind
        self._catalog = catalog
        self._all = {**catalog, **plugins}
        self._full: dict[str, list[str]] = {}
        for name in plugins:
            self._full.setdefault(name.partition("/")[2], []).append(name)

    def __getitem__(self, name: str) -> T:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def names(self) -> list[str]:
        """Return every word that finds something."""
        return [*self._all, *(short for short in self._full if short not in self._all)]

    def matching(self, name: str) -> list[str]:
        """Return the listed names that a full or short name may mean, that of registry.toml first."""
        return [name] * (name in self._all) + self._full.get(name, [])

    def find(self, name: str) -> str | None:
        """Return the listed name behind a full or short one, or None.

        Warns if plugins have the short name of something in registry.toml, which is then meant.

        Raises AmbiguousName if several plugins have the short name.
        """
        matching = self.matching(name)
        if len(matching) < 2:
            return matching[0] if matching else None
        if matching[0] == name:
            write = " or ".join(matching[1:])
            meant = f"the {self.kind} in a registry.toml, yours or zoo's own"
            warn(f"{name!r} means {meant}; write {write} for the other")
            return name
        owners = " and ".join(full.partition("/")[0] for full in matching)
        raise AmbiguousName(f"{name!r} is provided by {owners}; write {' or '.join(matching)}")
