"""The names of timm's models, read from its source code: importing timm would take seconds."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

# A model is a function with this decorator, which others may follow
_REGISTERED = re.compile(rb"@register_model\n(?:@.*\n)*def ([a-z0-9][a-z0-9_]*)\(")


def registered() -> list[tuple[str, str]]:
    """Return the name and the family of every model of the installed timm; empty if timm is not installed.

    The family is the module that contains the model.
    """
    found = find_spec("timm")  # without importing it
    if found is None or found.origin is None:
        return []
    names: list[tuple[str, str]] = []
    for file in sorted(Path(found.origin).parent.glob("models/*.py")):
        content = file.read_bytes()
        start = content.find(b"@register_model\n")  # which searches faster than the pattern
        if start >= 0:
            names += [(name.decode(), file.stem) for name in _REGISTERED.findall(content, start)]
    return names
