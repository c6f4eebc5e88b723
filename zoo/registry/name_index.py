"""An index of all names, with one rule to resolve a name.

An entry is listed under its full name: `plugin/name`, or the plain name if it is in a registry.toml. It can
also be found by its short name, without the plugin. If multiple entries share a short name, the name refers
to:

1. the entry in a registry.toml, the user's or zoo's own;
2. otherwise, the entry in zoo's own plugins;
3. otherwise, the entry in another plugin.

A warning lists the full names of the other entries, so a plugin cannot take one of zoo's names unnoticed. If
multiple entries have the same rank in this list, an error lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zoo.config.synonyms import meant
from zoo.errors import AmbiguousName, warn

KINDS = (
    *("architecture", "dataset", "analyzer", "recipe", "weights", "task", "group", "optimizer", "schedule"),
    *("augmentation", "metric", "tokenizer", "command", "exporter", "tracker"),
)
# Kinds of which one may have the name of the other; the first one's description includes the second
_TOGETHER = (["recipe", "weights"], ["task", "group"])
# What can be done with a name that was given for something else
_INSTEAD = {
    "weights": "it is the id of trained weights, which zoo.load({!r}) loads",
    "recipe": "it is a recipe, which zoo.train({!r}) trains",
}


class Named(NamedTuple):
    """A named entry, recipe or weights file.

    Attributes:
        name: the full name.
        place: its rank by the rule in the module's docstring: 1 for a registry.toml, 2 for zoo's own plugins.
    """

    kind: str
    name: str
    place: int

    @property
    def short(self) -> str:
        """The name without the plugin."""
        return self.name.rpartition("/")[2]


class Names:
    """An index of full and short names."""

    def __init__(self, everything: Iterable[Named]) -> None:
        self._by_word: dict[str, list[Named]] = {}
        for named in sorted(everything, key=lambda named: (named.place, KINDS.index(named.kind))):
            for word in dict.fromkeys((named.name, named.short)):
                self._by_word.setdefault(word, []).append(named)

    def words(self, *kinds: str) -> list[str]:
        """Return every full and short name of some kinds; by default, of all kinds."""
        return [word for word in self._by_word if self.matching(word, *kinds)]

    def matching(self, word: str, *kinds: str) -> list[Named]:
        """Return everything that a word may mean, the most likely meaning first."""
        return [named for named in self._by_word.get(word, ()) if not kinds or named.kind in kinds]

    def find(self, word: str, *kinds: str) -> Named | None:
        """Resolve a word; return None if it is unknown. Raises AmbiguousName if it has multiple meanings."""
        matching = self.matching(word, *kinds)
        if len(matching) < 2:
            return matching[0] if matching else None
        first = [named for named in matching if named.place == matching[0].place]
        alike = len({named.name for named in first}) == 1
        if alike and [named.kind for named in first] in _TOGETHER:
            first = first[:1]
        if len(first) > 1:
            choices = ", ".join(f"{named.kind} {named.name}" for named in first)
            how = "choose one with --kind" if alike else "use the full name"
            raise AmbiguousName(f"{word!r} could be {choices}; {how}")
        _warn_of_others(word, first[0], [named for named in matching if named.place > first[0].place])
        return first[0]

    def nearest(self, word: str, kinds: Sequence[str] = ()) -> str:
        """Return the end of a message about an unknown name: `"; did you mean 'x'?"` if a name is similar.

        Args:
            kinds: kinds that were searched; by default, all kinds.
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
        warn(f"{word!r} refers to {means}; to choose another, write {names}")
