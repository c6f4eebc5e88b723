"""The features of inputs of the user's own: what a model computes of each before its head. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.config import options
from zoo.data.reading import Unread, in_batches, require_number, workers
from zoo.data.sources import Source
from zoo.errors import Diverged, WeightsError
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.inference.sequences import stretches
from zoo.models.runners import Runner
from zoo.processors import Processor, ReadsInputs, Scores

__all__ = ["Embedding", "embed", "require_reading"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """How to compute features. Raises OptionError for a value that is out of range.

    Attributes:
        layer: a landmark or the path of a module. `features` is what the head reads, if there is no landmark
            of that name.
        pool: average over the places of an image and the tokens of a text.
        batch_size: inputs that the model reads at a time.
        threads: threads that read and decode files; None for one for each core, at most eight.
    """

    layer: str = "features"
    pool: bool = True
    batch_size: int = 64
    threads: int | None = None

    def __post_init__(self) -> None:
        options.validate(self)
        for name in ("batch_size", "threads"):
            require_number(name, getattr(self, name))


def require_reading(processor: Processor) -> ReadsInputs:
    """Return a processor that can read inputs. Raises WeightsError for another."""
    if isinstance(processor, ReadsInputs):
        return processor
    what = f"a model for {processor.spec.name} cannot read inputs: its task does not say how"
    raise WeightsError(what, hint="its author can make its processor a zoo.processors.ReadsInputs")


def embed(
    runner: Runner, card: Card, processor: Processor, sources: Iterable[Source], *, how: Embedding
) -> Iterator[dict[str, Any]]:
    """Yield a row `{"input", "features", "error"}` for each source in order.

    Features are a float32 array; None, with the reason, for an input that cannot be read. A text is read from
    an empty state on; its features are those after each token, (T, F), and pooled their mean.

    Raises:
        OptionError: the layer has no features, or an input is an object that can be none.
        WeightsError: the task does not read inputs one by one, or a layer needs too much memory.
        Diverged: features are not finite.
    """
    read = require_reading(processor).input_reader(card).read
    runner, texts = runner.with_features(how.layer, pool=how.pool), isinstance(processor, Scores)

    def features(items: list[Any]) -> Sequence[Array]:
        if texts:
            return [_of_text(runner, item, pool=how.pool) for item in items]
        return [*runner.run(np.stack([item[0] for item in items]))[FEATURES]]

    size = 1 if texts else how.batch_size
    return _rows(in_batches(sources, read, features, size=size, threads=workers(how.threads)))


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
