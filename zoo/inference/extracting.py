"""A module that computes the features of inputs that were read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.views import as_tensors, of_items
from zoo.errors import WeightsError
from zoo.evaluation.measure import outputs_of
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.inference.embedding import Array, Embedding, FeaturesOf
from zoo.interfaces import CarriesState, State, Task
from zoo.models.features import features_of, pooled
from zoo.models.hooks import TooLarge, no_larger_outputs, untouched
from zoo.models.landmarks import layer_path, require_modules
from zoo.models.windows import context_of, windowed
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec

__all__ = ["extracting", "feature_landmarks", "layer_of"]

# Time steps of a sequence that the model reads at a time
_STEPS = 128
# The most bytes that a layer may compute for them
_MOST_BYTES = 1 << 29


def extracting(
    model: nn.Module, card: Card, task: Task, registry: Registry, *, how: Embedding, device: str = "cpu"
) -> FeaturesOf:
    """Return what computes the features of items. Gradients are off, and numbers are fp32.

    A text is read from an empty state on; its features are those after each token, (T, F), and pooled their
    mean.

    Raises as `layer_of` does.
    """
    landmarks = layer_of(model, registry.architecture(card.architecture), how.layer)
    on: Any = {"landmarks": landmarks, "pool": how.pool, "device": device}
    if isinstance(task, CarriesState):
        return _Sequences(model, context=context_of(card, registry), **on)
    return _Batches(model, card, task, **on)


def layer_of(model: nn.Module, entry: Entry[ArchitectureSpec], layer: str) -> Mapping[str, str]:
    """Return the landmarks of a model with `features` at a layer.

    Raises:
        OptionError: the model has no such layer, and for `features` no head.
        SpecError: a landmark of its architecture does not exist.
    """
    landmarks: dict[str, str] = {**entry.spec.landmarks}
    if layer == FEATURES and (found := feature_landmarks(model, entry)):
        return found
    return {FEATURES: layer_path(layer, landmarks, model)}


def feature_landmarks(model: nn.Module, entry: Entry[ArchitectureSpec]) -> dict[str, str]:
    """Return where the features of a model are, one path; none if its architecture does not say.

    Raises SpecError for a landmark that does not exist.
    """
    landmarks = entry.spec.landmarks
    for name in (FEATURES, "head"):
        if path := landmarks.get(name, ""):  # pyright: ignore[reportArgumentType]
            require_modules({name: path}, model, entry.name)
            return {name: path}
    return {}


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

    def __call__(self, items: list[Any]) -> list[Array]:
        """Return the features of each item."""
        found: list[Array] = []
        with torch.inference_mode(), untouched(self._model) as inner:
            reader = _Reader(inner, self._landmarks, pool=self._pool)
            data = of_items([as_tensors(item) for item in items], self._card)
            for batch in self._task.eval_batches(data, "test", device=self._device):
                found += [*outputs_of(reader, batch.inputs).cpu().numpy()]
        return found


class _Sequences:
    """Features of sequences by a model that carries a state, from an empty one for each."""

    def __init__(
        self, model: nn.Module, *, landmarks: Mapping[str, str], pool: bool, context: int, device: str
    ) -> None:
        self._model, self._landmarks, self._pool = model, landmarks, pool
        self._context, self._device = context, device

    def __call__(self, items: list[Any]) -> list[Array]:
        """Return the features of each sequence."""
        with torch.inference_mode(), untouched(self._model) as inner:
            reader = windowed(_Reader(inner, self._landmarks, time_first=True), self._context)
            return [self._read(reader, as_tensors(item)).numpy() for item in items]

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
