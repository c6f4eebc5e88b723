"""Every name that there is, in one index, with one rule for what a name means.

Something is listed under its full name: `plugin/name`, or the plain name if it stands in a registry.toml. Its
short name, without the plugin, finds it too. If several things have a name, it means

1. the one in a registry.toml, the user's or zoo's own;
2. otherwise that of a plugin of zoo's own;
3. otherwise that of another plugin.

A warning lists the full names of the others, so nobody can take a name of zoo's own unnoticed. Several in the
same place are an error that lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zoo.config.synonyms import meant
from zoo.errors import AmbiguousName, warn

KINDS = (
    *("architecture", "dataset", "analyzer", "recipe", "weights", "task", "group", "command", "exporter"),
)
# Kinds of which one may have the name of the other; the first one's description includes the second
_TOGETHER = (["recipe", "weights"], ["task", "group"])
# What can be done with a name that was given for something else
_INSTEAD = {
    "weights": "it is an id of trained weights, which zoo.load({!r}) loads",
    "recipe": "it is a recipe, which zoo.train({!r}) trains",
}


class Named(NamedTuple):
    """Something that has a name.

    Attributes:
        name: the full name.
        place: of which rule it is in the module's docstring: 1 for a registry.toml, 2 for zoo's own plugins.
    """

    kind: str
    name: str
    place: int

    @property
    def short(self) -> str:
        """The name without the plugin."""
        return self.name.rpartition("/")[2]


class Names:
    """All names, by full and by short name."""

    def __init__(self, everything: Iterable[Named]) -> None:
        self._by_word: dict[str, list[Named]] = {}
        for named in sorted(everything, key=lambda named: (named.place, KINDS.index(named.kind))):
            for word in dict.fromkeys((named.name, named.short)):
                self._by_word.setdefault(word, []).append(named)

    def words(self, *kinds: str) -> list[str]:
        """Return every full and short name of some kinds; without any, of all."""
        return [word for word in self._by_word if self.matching(word, *kinds)]

    def matching(self, word: str, *kinds: str) -> list[Named]:
        """Return all that a word may mean, the likeliest first."""
        return [named for named in self._by_word.get(word, ()) if not kinds or named.kind in kinds]

    def find(self, word: str, *kinds: str) -> Named | None:
        """Return what a word means, or None. Raises AmbiguousName if it may be several things."""
        matching = self.matching(word, *kinds)
        if len(matching) < 2:
            return matching[0] if matching else None
        first = [named for named in matching if named.place == matching[0].place]
        alike = len({named.name for named in first}) == 1
        if alike and [named.kind for named in first] in _TOGETHER:
            first = first[:1]
        if len(first) > 1:
            choices = ", ".join(f"{named.kind} {named.name}" for named in first)
            how = "--kind says which" if alike else "write the full name"
            raise AmbiguousName(f"{word!r} could be {choices}; {how}")
        _warn_of_others(word, first[0], [named for named in matching if named.place > first[0].place])
        return first[0]

    def nearest(self, word: str, kinds: Sequence[str] = ()) -> str:
        """Return how an error for an unknown name goes on: `"; did you mean 'x'?"`; empty if nothing is near.

        Args:
            kinds: what was looked for; by default all.
        """
        others = {named.kind for named in self.matching(word)}
        kind = next((kind for kind in (*_INSTEAD, *KINDS) if kind in others), "")
        if not kind:
            return meant(word, self.words(*kinds), place=kinds[0] if kinds else "dataset")
        article = "an" if kind[0] in "aeiou" else "a"
        return f"; {_INSTEAD.get(kind, f'it is {article} {kind}').format(word)}"


def _warn_of_others(word: str, first: Named, others: Sequence[Named]) -> None:
    if others:
        means = first.name
        if "/" not in first.name:
            means = f"the {first.kind} in a registry.toml, yours or zoo's own"
        names = " or ".join(dict.fromkeys(named.name for named in others))
        warn(f"{word!r} means {means}; write {names} for the other")
