"""The features of inputs of the user's own: what a model computes of each before its head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config import options
from zoo.data.views import of_items
from zoo.errors import Diverged, WeightsError
from zoo.evaluation.measure import outputs_of
from zoo.files.cards import Card
from zoo.inference.answering import with_tensors
from zoo.inference.reading import Unread, in_batches, require_number, workers
from zoo.inference.sources import Source
from zoo.interfaces import CarriesState, State, Task
from zoo.models.features import features_of, pooled
from zoo.models.hooks import TooLarge, no_larger_outputs, untouched
from zoo.models.landmarks import layer_path, require_modules
from zoo.models.windows import context_of, windowed
from zoo.processors import Processor, ReadsInputs
from zoo.registry.registry import Registry

__all__ = ["Embedding", "embed", "layer_of", "require_reading"]

# Time steps of a sequence that the model reads at a time
_STEPS = 128
# The most bytes that a layer may compute for them
_MOST_BYTES = 1 << 29


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


def layer_of(model: nn.Module, card: Card, registry: Registry, layer: str) -> Mapping[str, str]:
    """Return the landmarks of a model with `features` at a layer.

    Raises:
        OptionError: the model has no such layer, and for `features` no head.
        SpecError: a landmark of its architecture does not exist.
    """
    entry = registry.architecture(card.architecture)
    landmarks: dict[str, str] = {**entry.spec.landmarks}
    if layer != "features" or not landmarks.keys() & {"features", "head"}:
        return {"features": layer_path(layer, landmarks, model)}
    chosen = "features" if "features" in landmarks else "head"
    found = {chosen: landmarks[chosen]}
    require_modules(found, model, entry.name)
    return found


def require_reading(processor: Processor) -> ReadsInputs:
    """Return a processor that can read inputs. Raises WeightsError for another."""
    if isinstance(processor, ReadsInputs):
        return processor
    what = f"a model for {processor.spec.name} cannot read inputs: its task does not say how"
    raise WeightsError(what, hint="its author can make its processor a zoo.processors.ReadsInputs")


def embed(
    model: nn.Module,
    card: Card,
    task: Task,
    registry: Registry,
    sources: Iterable[Source],
    *,
    how: Embedding,
    device: str = "cpu",
) -> Iterator[dict[str, Any]]:
    """Yield a row `{"input", "features", "error"}` for each source in order.

    Features are a float32 array of numpy, (F,), or as the layer computes them without pooling; None, with the
    reason, for an input that cannot be read. Gradients are off, and numbers are fp32. A text is read from an
    empty state on; its features are those after each token, (T, F), and pooled their mean.

    Raises:
        OptionError: there is no such layer, it has no features, or an input is an object that can be none.
        WeightsError: the task does not read inputs one by one, or a layer needs too much memory.
        Diverged: features are not finite.
    """
    reader = require_reading(task.processor).input_reader(card)
    landmarks = layer_of(model, card, registry, how.layer)
    on: Any = {"landmarks": landmarks, "pool": how.pool, "device": device}
    if isinstance(task, CarriesState):
        size, features = 1, _Sequences(model, context=context_of(card, registry), **on)
    else:
        size, features = how.batch_size, _Batches(model, card, task, **on)
    return _rows(in_batches(sources, reader.read, features, size=size, threads=workers(how.threads)))


def _rows(found: Iterable[tuple[Source, Tensor | Unread]]) -> Iterator[dict[str, Any]]:
    for source, features in found:
        if isinstance(features, Unread):
            yield {"input": source.name, "features": None, "error": features.why}
            continue
        if not features.isfinite().all():
            hint = "the weights are finite, but too large to compute with"
            raise Diverged(f"the features of {source.name} are not finite", hint=hint)
        yield {"input": source.name, "features": features.numpy(), "error": None}


class _Reader(nn.Module):
    """A model that returns its features in place of its answers.

    Args:
        pool: return a vector for each item.
        time_first: the model reads sequences, (T, B).
    """

    def __init__(
        self, model: nn.Module, landmarks: Mapping[str, str], *, pool: bool = False, time_first: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self._landmarks, self._pool, self._time_first = landmarks, pool, time_first

    def forward(self, *inputs: Any) -> Any:
        """Map inputs to features (B, F, ...), or tokens (T, B) and a state to (T, B, F) and a state."""
        with features_of(self.model, self._landmarks, time_first=self._time_first) as features:
            answers = self.model(*inputs)
        found = pooled(features.output) if self._pool else features.output.float()
        return (found, answers[1]) if self._time_first else found


class _Batches:
    """Features of items that have nothing to do with each other."""

    def __init__(
        self,
        model: nn.Module,
        card: Card,
        task: Task,
        *,
        landmarks: Mapping[str, str],
        pool: bool,
        device: str,
    ) -> None:
        self._model, self._card, self._task = model, card, task
        self._landmarks, self._pool, self._device = landmarks, pool, device

    def __call__(self, items: list[Any]) -> list[Tensor]:
        """Return the features of each item."""
        found: list[Tensor] = []
        with torch.inference_mode(), untouched(self._model) as inner:
            reader = _Reader(inner, self._landmarks, pool=self._pool)
            data = of_items([with_tensors(item) for item in items], self._card)
            for batch in self._task.eval_batches(data, "test", device=self._device):
                found += outputs_of(reader, batch.inputs).cpu()
        return found


class _Sequences:
    """Features of sequences by a model that carries a state, from an empty one for each."""

    def __init__(
        self, model: nn.Module, *, landmarks: Mapping[str, str], pool: bool, context: int, device: str
    ) -> None:
        self._model, self._landmarks, self._pool = model, landmarks, pool
        self._context, self._device = context, device

    def __call__(self, items: list[Any]) -> list[Tensor]:
        """Return the features of each sequence."""
        with torch.inference_mode(), untouched(self._model) as inner:
            reader = windowed(_Reader(inner, self._landmarks, time_first=True), self._context)
            return [self._read(reader, with_tensors(item)) for item in items]

    def _read(self, reader: nn.Module, tokens: Tensor) -> Tensor:
        """Return the features after each of some tokens, (T, F), or their mean."""
        kept: list[Tensor] = []
        total, state = torch.zeros(()), None
        for part in tokens.to(self._device).split(max(_STEPS, self._context)):
            features, state = self._step(reader, part[:, None], state)
            found = features[:, 0].cpu()
            kept += [] if self._pool else [found]
            total = total + found.double().sum(0)
        return (total / len(tokens)).float() if self._pool else torch.cat(kept)

    @staticmethod
    def _step(reader: nn.Module, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        try:
            with no_larger_outputs(reader, _MOST_BYTES):
                return reader(tokens, state)
        except TooLarge as error:
            raise WeightsError(f"the model cannot be used: one layer needs {error} at a time") from None
