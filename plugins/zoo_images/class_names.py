"""Rename and merge classes, as the option `classes` of the user's own images says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from zoo import OptionError
from zoo.plugin import options


def renamed(classes: Sequence[str], rules: Sequence[str]) -> list[str]:
    """Return the new name of each class; classes with the same new name are merged.

    Args:
        rules: strings such as `T-shirt=T-shirt/top`.

    Raises OptionError if a rule has another form, or names a class that does not exist or has another rule.
    """
    new: dict[str, str] = {}
    for rule in rules:
        old, _, name = map(str.strip, rule.partition("="))
        if not old or not name:
            raise OptionError(f"classes must be a list of OLD=NEW (got {rule!r})")
        options.convert(old, cast("Any", Literal[tuple(classes)]), what="classes: the name before =")
        if old in new:
            raise OptionError(f"classes renames {old!r} twice, to {new[old]!r} and to {name!r}")
        new[old] = name
    return [new.get(name, name) for name in classes]
