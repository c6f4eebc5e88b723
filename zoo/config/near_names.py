"""The known names that are nearest to an unknown one."""

from __future__ import annotations

import os
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest known names, or an empty string."""
    *others, last = [repr(word) for word in nearest_names(name, known)] or [""]
    return f"; did you mean {', '.join(others)}{' or ' * bool(others)}{last}?" if last else ""


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are nearest to a name, sorted; none if no name is similar.

    Among equally close names, names with the same first letters are preferred; if several are left, all are
    returned. A name without a plugin prefix is not compared with the full names of entries.
    """
    import difflib  # only for a wrong name

    by_case = {word.lower(): word for word in known if "/" in name or "/" not in word}
    name = name.lower()

    def nearness(word: str) -> tuple[float, int]:
        alike = len(os.path.commonprefix([word, name]))  # noqa: RUF071 - words, not paths
        return difflib.SequenceMatcher(None, word, name).ratio(), alike

    close = difflib.get_close_matches(name, by_case, n=5, cutoff=0.65)
    best = max(map(nearness, close), default=None)
    return sorted(by_case[word] for word in close if nearness(word) == best)
