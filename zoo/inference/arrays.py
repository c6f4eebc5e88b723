"""Features as one array, as JSON data, and as rows of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError, OptionError, warn
from zoo.inference.predicting import Answered
from zoo.processors import Prediction

__all__ = ["UnreadRows", "common_shape", "plain", "require_format", "stacked", "to_write"]

# The most reasons that get a warning each
_TOLD = 10


class UnreadRows:
    """Tells why inputs could not be read, each in a warning and many as a number."""

    def __init__(self) -> None:
        self.count = 0

    def see(self, row: Mapping[str, Any]) -> None:
        """Warn of a row without features, if it is one of the first."""
        if row["error"] is not None:
            self.count += 1
            if self.count <= _TOLD:
                warn(f"{row['input']} {row['error']}")

    def finish(self) -> None:
        """Warn of those that were not told."""
        if self.count > _TOLD:
            warn(f"{self.count - _TOLD:,} more inputs cannot be read")


def common_shape(
    shape: Sequence[int | None] | None, features: NDArray[np.float32] | None
) -> Sequence[int | None] | None:
    """Return the shape of features and those before them; a size that differs is None."""
    if features is None or shape is None:
        return shape if features is None else [*features.shape]
    return [one if one == other else None for one, other in zip(shape, features.shape, strict=False)]


def stacked(rows: Iterable[Mapping[str, Any]]) -> NDArray[np.float32]:
    """Return the features of some rows as an array, (N, F) or (N, ...); not a number where there are none.

    Warns of inputs that could not be read. Raises DataError if none could, and OptionError unless all
    features have one shape.
    """
    found: list[NDArray[np.float32] | None] = []
    unread, first = UnreadRows(), None
    for row in rows:
        unread.see(row)
        features = row["features"]
        first = features if first is None else first
        if features is not None and features.shape != first.shape:
            message = f"{row['input']} has features {features.shape}, and those before it {first.shape}"
            raise OptionError(message, hint="iterate over the features, which gives them one by one")
        found.append(features)
    unread.finish()
    if first is None:
        raise DataError("none of the inputs can be read")
    none = np.full_like(first, np.nan)
    return np.stack([none if features is None else features for features in found])


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON data, its numbers with six digits: those after them depend on the batch."""
    features = row["features"]
    return {**row, "features": None if features is None else _rounded(features.tolist())}


def require_format(out: Path) -> None:
    """Raise OptionError unless a path is one of a file that features can be written to."""
    if out.suffix not in (".npy", ".csv", ".jsonl"):
        raise OptionError(f"the output must be a .npy, a .csv or a .jsonl (got {out})")


def to_write(row: Mapping[str, Any], out: Path) -> Answered:
    """Return a row as a file takes it. Raises OptionError for feature maps in a CSV."""
    features, about = row["features"], {"input": row["input"], "error": row["error"]}
    if out.suffix == ".jsonl":
        about = plain(row)
    elif out.suffix == ".csv":
        if features is not None and features.ndim > 1:
            message = f"{out} is for vectors, but the features of {row['input']} are {features.shape}"
            raise OptionError(message, hint="choose a .npy or a .jsonl, or pool the features")
        numbers = [] if features is None else features.tolist()
        about["answers"] = [{f"feature_{n}": value for n, value in enumerate(numbers)}] if numbers else []
    values = None if features is None else Prediction(answers=(), values=features)
    return Answered(about, values)


def _rounded(values: Any) -> Any:
    return [_rounded(value) for value in values] if isinstance(values, list) else float(f"{values:.6g}")  # pyright: ignore[reportUnknownVariableType]
