"""The names of timm's models, read from its source code: importing timm would take seconds."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec

import msgspec

from zoo.plugin import recalled, remember

# A model is a function with this decorator; other decorators may follow
_DECORATOR = b"\n@register_model\n"
_FUNCTION = re.compile(rb"(?:@.*\n)*def ([a-z0-9][a-z0-9_]*)\(")
_KEY = "timm-names"


class _Listing(msgspec.Struct, array_like=True, frozen=True):
    """The names that were found, and the state of the files that they were found in."""

    files: list[tuple[str, int, int]]
    names: list[tuple[str, str]]


def registered() -> list[tuple[str, str]]:
    """Return the name and the family of every model of the installed timm; empty if timm is not installed.

    The names are stored in the cache until a file of timm changes.
    """
    found = find_spec("timm")  # without importing it
    if found is None or found.origin is None:
        return []
    folder = os.path.join(os.path.dirname(found.origin), "models")  # noqa: PTH118, PTH120
    files = _state(folder)
    if (known := _remembered()) is not None and known.files == files:
        return known.names
    names = [(name, file.removesuffix(".py")) for file, *_ in files for name in _in(f"{folder}/{file}")]
    remember("hashes", _KEY, msgspec.msgpack.encode(_Listing(files, names)))
    return names


def _state(folder: str) -> list[tuple[str, int, int]]:
    """Return the name, the size and the modification time in nanoseconds of every module in a folder."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py")]
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _in(file: str) -> list[str]:
    """Return the names of the models in a file."""
    with open(file, "rb") as source:  # noqa: PTH123
        parts = source.read().split(_DECORATOR)[1:]
    return [match[1].decode() for match in map(_FUNCTION.match, parts) if match]


def _remembered() -> _Listing | None:
    try:
        return msgspec.msgpack.decode(recalled("hashes", _KEY) or b"", type=_Listing)
    except msgspec.MsgspecError:  # none, or of another version
        return None
