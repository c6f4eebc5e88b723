"""Features of the user's own inputs, as rows, as one array, as JSON data and in a file. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.read_ahead import Unread, in_batches, workers
from zoo.data.sources import Source
from zoo.errors import DataError, Diverged, OptionError, WeightsError, warn
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.inference.predicting import PredictedRow, rounded
from zoo.models.runners import Runner
from zoo.processors import Prediction, Processor, ReadsInputs, Scores

Array = NDArray[np.float32]
# The most reasons that get a warning each
_TOLD = 10


def embedder(
    runner: Runner,
    card: Card,
    processor: Processor,
    *,
    layer: str,
    pool: bool,
    batch_size: int,
    threads: int | None,
) -> Callable[[Iterable[Source]], Iterator[dict[str, Any]]]:
    """Return a function that yields a row `{"input", "features", "error"}` for each source in order.

    Features are a float32 array, or None with an error for an input that cannot be read. Text is read from an
    empty state, with features after each token, (T, F), or their mean if they are pooled. Features that are
    not finite raise Diverged. The arguments are as in `zoo.Model.features`.

    Raises:
        OptionError: the layer has no features.
        WeightsError: the task does not read inputs one by one.
    """
    if not isinstance(processor, ReadsInputs):
        what = f"a model for {processor.spec.name} cannot read inputs: its task does not implement reading"
        raise WeightsError(what, hint="the task's processor must implement zoo.plugin.ReadsInputs")
    runner, texts = runner.with_features(layer, pool=pool), isinstance(processor, Scores)
    read, size = processor.input_reader(card).read, 1 if texts else batch_size

    def features(items: list[Any]) -> Sequence[Array]:
        if texts:
            return [_of_text(runner, item, pool=pool) for item in items]
        return [*runner.run(np.stack([item[0] for item in items]))[FEATURES]]

    def embed(sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        return _rows(in_batches(sources, read, features, size=size, threads=workers(threads)))

    return embed


def _of_text(runner: Runner, tokens: NDArray[np.int64], *, pool: bool) -> Array:
    """Return the features after each token, (T, F), or their mean."""
    found = (outputs[FEATURES] for outputs in runner.read(tokens))
    if not pool:
        return np.concatenate([*found])
    total = sum((features.sum(0, dtype=np.float64) for features in found), np.zeros(()))
    return (total / len(tokens)).astype(np.float32)


def _rows(found: Iterable[tuple[Source, Array | Unread]]) -> Iterator[dict[str, Any]]:
    for source, features in found:
        if isinstance(features, Unread):
            yield source.row(features=None, error=features.why)
            continue
        if not np.isfinite(features).all():
            hint = "the weights are finite, but so large that results overflow"
            raise Diverged(f"the features of {source.name} are not finite", hint=hint)
        yield source.row(features=features, error=None)


def warning_of_unread(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows, and warn about unreadable inputs: name the first few, then count the others."""
    unread = 0
    for row in rows:
        if row["error"] is not None:
            unread += 1
            if unread <= _TOLD:
                warn(f"{row['input']} {row['error']}")
        yield row
    if unread > _TOLD:
        warn(f"{unread - _TOLD:,} more inputs could not be read")


def common_shape(shape: Sequence[int | None] | None, features: Array | None) -> Sequence[int | None] | None:
    """Return the common shape of some features and earlier features, with None for a size that differs."""
    if features is None or shape is None:
        return shape if features is None else [*features.shape]
    return [one if one == other else None for one, other in zip(shape, features.shape, strict=False)]


def stacked(rows: Iterable[dict[str, Any]]) -> Array:
    """Return the features of some rows as an array, (N, F) or (N, ...), with NaN for unreadable inputs.

    Warns about inputs that could not be read. Raises DataError if all inputs are unreadable, and OptionError
    unless all features have the same shape.
    """
    found: list[Array | None] = []
    first = None
    for row in warning_of_unread(rows):
        features = row["features"]
        first = features if first is None else first
        if features is not None and features.shape != first.shape:
            message = f"{row['input']} has feature shape {features.shape}; earlier inputs have {first.shape}"
            raise OptionError(message, hint="iterate over the features instead of stacking them")
        found.append(features)
    if first is None:
        raise DataError("none of the inputs can be read")
    none = np.full_like(first, np.nan)
    return np.stack([none if features is None else features for features in found])


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON data, with numbers rounded to six digits; further digits depend on the batch."""
    features = row["features"]
    return {**row, "features": None if features is None else rounded(features.tolist())}


def require_format(out: Path) -> None:
    """Raise OptionError unless features can be written to a file with this suffix."""
    if out.suffix not in (".npy", ".csv", ".jsonl"):
        raise OptionError(f"the output must be a .npy, .csv or .jsonl file (got {out})")


def to_write(row: Mapping[str, Any], out: Path) -> PredictedRow:
    """Convert a row so that it can be written to a file. Raises OptionError for feature maps in a CSV."""
    features, about = row["features"], {key: value for key, value in row.items() if key != "features"}
    if out.suffix == ".jsonl":
        about = plain(row)
    elif out.suffix == ".csv":
        if features is not None and features.ndim > 1:
            message = f"{out} can store only vectors, but {row['input']} has feature shape {features.shape}"
            raise OptionError(message, hint="write a .npy or .jsonl file, or pool the features")
        numbers = [] if features is None else features.tolist()
        about["predictions"] = [{f"feature_{n}": value for n, value in enumerate(numbers)}] if numbers else []
    values = None if features is None else Prediction(rows=(), values=features)
    return PredictedRow(about, values)
