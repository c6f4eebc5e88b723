"""The features of inputs of the user's own: what a model computes of each before its head. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.reading import Unread, in_batches, require_number, workers
from zoo.data.sources import Source
from zoo.errors import Diverged, WeightsError
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.inference.sequences import stretches
from zoo.models.runners import Runner
from zoo.processors import Processor, ReadsInputs, Scores

__all__ = ["embedder"]

Array = NDArray[np.float32]


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
    """Return what yields a row `{"input", "features", "error"}` for each source in order.

    Features are a float32 array; None, with the reason, for an input that cannot be read. A text is read from
    an empty state on; its features are those after each token, (T, F), and pooled their mean. Features that
    are not finite raise Diverged.

    The arguments are those of `zoo.Model.features`.

    Raises:
        OptionError: an option is out of range, or the layer has no features.
        WeightsError: the task does not read inputs one by one.
    """
    if not isinstance(processor, ReadsInputs):
        what = f"a model for {processor.spec.name} cannot read inputs: its task does not say how"
        raise WeightsError(what, hint="its author can make its processor a zoo.processors.ReadsInputs")
    for name, value in (("batch_size", batch_size), ("threads", threads)):
        require_number(name, value)
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
    """Return the features after each of some tokens, (T, F), or their mean."""
    found = (outputs[FEATURES] for outputs in stretches(runner, tokens))
    if not pool:
        return np.concatenate([*found])
    total = sum((features.sum(0, dtype=np.float64) for features in found), np.zeros(()))
    return (total / len(tokens)).astype(np.float32)


def _rows(found: Iterable[tuple[Source, Array | Unread]]) -> Iterator[dict[str, Any]]:
    for source, features in found:
        if isinstance(features, Unread):
            yield {"input": source.name, "features": None, "error": features.why}
            continue
        if not np.isfinite(features).all():
            hint = "the weights are finite, but too large to compute with"
            raise Diverged(f"the features of {source.name} are not finite", hint=hint)
        yield {"input": source.name, "features": features, "error": None}
