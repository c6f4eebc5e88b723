"""Canonical JSON, strict parsing of JSON, and JSON for other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

# Levels of lists and tables in each other; nothing of zoo's has more than a few
_DEEPEST = 100


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values produce equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(text: str) -> Any:
    """Parse JSON text.

    Raises ValueError for invalid JSON, such as NaN, and for text that would not survive a round trip: a
    repeated key, half a surrogate pair, a number too large for a float (1e999), or more than a hundred levels
    of nesting.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key is repeated")
        return table

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not valid JSON")

    def finite(number: str) -> float:
        value = float(number)
        if math.isinf(value):
            raise ValueError(f"the number {number:.40} is too large")
        return value

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
        _require_shallow(value)
        if "\\u" in text:
            canonical_json(value).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def readable_json(document: object) -> str:
    """Return indented ASCII JSON that every parser can read, without characters that a terminal interprets.

    A number that is not finite becomes null. Half a surrogate pair, as in a file name that is not valid
    UTF-8, becomes the text of its escape sequence: `\\udcff`. Tensors and arrays become numbers or nested
    lists; other values that JSON cannot represent, such as a path, become strings.
    """
    return json.dumps(_readable(document), indent=2, allow_nan=False)


def _readable(value: object) -> object:
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {
            _readable(str(key) if isinstance(key, tuple) else key): _readable(item) for key, item in items
        }
    if isinstance(value, list | tuple):
        return [_readable(item) for item in cast("list[object]", value)]
    if hasattr(value, "tolist"):
        return _readable(cast("Any", value).tolist())
    return value if isinstance(value, int | float | None) else _readable(str(value))


def _require_shallow(value: object, level: int = 0) -> None:
    """Raise ValueError if lists and tables are nested too deeply."""
    if level >= _DEEPEST:
        raise ValueError("it is nested too deeply")
    items: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        if isinstance(item, dict | list):
            _require_shallow(cast("object", item), level + 1)
