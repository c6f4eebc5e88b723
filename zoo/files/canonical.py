"""JSON in one canonical form, and read strictly."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["canonical_json", "parse_json"]


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for what is not JSON, such as NaN, and for what Python can read but not write again: a
    repeated key, half a surrogate pair, a number beyond all floats (1e999), endless nesting.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key is repeated")
        return table

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def finite(number: str) -> float:
        value = float(number)
        if math.isinf(value):
            raise ValueError(f"{number:.40} is too large a number")
        return value

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
        if "\\u" in text:
            canonical_json(value).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value
