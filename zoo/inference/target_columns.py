"""Predictions of several numbers as columns or as rows. Without NumPy, for `zoo predict --help`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def joined_targets(predictions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return predictions that each have a `target` as one, with a column for each number; others unchanged.

    A column is named after the target or, if there are several numbers for a target, also after the number.
    """
    if not predictions or not all("target" in answer for answer in predictions):
        return predictions
    joined: dict[str, Any] = {}
    for answer in predictions:
        numbers = {key: value for key, value in answer.items() if key != "target"}
        for key, value in numbers.items():
            joined[str(answer["target"]) if len(numbers) == 1 else f"{answer['target']} {key}"] = value
    return [joined]


def apart(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the row of an input as a row for each of its predictions."""
    return [{**row, "predictions": [answer]} for answer in row["predictions"]] or [row]
