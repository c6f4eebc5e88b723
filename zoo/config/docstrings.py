"""What docstrings say of parameters and attributes: the help of options, and the reference."""

from __future__ import annotations

import inspect
import re

__all__ = ["described"]


def described(owner: object) -> dict[str, str]:
    """Return what a docstring says under `Args` or `Attributes` of each name; for a class, its bases' too."""
    found: dict[str, str] = {}
    for part in reversed(getattr(owner, "__mro__", (owner,))):
        text = inspect.cleandoc(part.__doc__ or "")
        section = re.split(r"\n(?:Args|Attributes):\n", text, maxsplit=1)[1:]
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", "".join(section).partition("\n\n")[0], re.M)
        found |= {name: re.sub(r"\s+", " ", meaning) for name, meaning in entries}
    return found
