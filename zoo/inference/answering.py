"""A module that computes the answers to inputs that were read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.views import as_tensors, of_items
from zoo.evaluation.measure import measure, outputs_of
from zoo.files.cards import Card
from zoo.inference.predicting import Answer
from zoo.inference.programs import require_finite
from zoo.interfaces import Task
from zoo.models.hooks import evaluating
from zoo.processors import Prediction, Predicts, Scores

__all__ = ["answering"]


def answering(model: nn.Module, card: Card, task: Task, *, context: int = 0, device: str = "cpu") -> Answer:
    """Return what a module answers. Gradients are off, and numbers are fp32, as in evaluation.

    Args:
        context: most tokens that the model reads from an empty state on; 0 is any.
    """
    if isinstance(task.processor, Scores):
        return _Sequences(model, card, task, context, device)
    return _Batches(model, card, task, device)


class _Batches:
    """Answers of a model to items that have nothing to do with each other."""

    def __init__(self, model: nn.Module, card: Card, task: Task, device: str) -> None:
        self._model, self._card, self._task, self._device = model, card, task, device

    def __call__(self, items: list[Any], top: int | None) -> list[Prediction]:
        """Return what the model says of each item."""
        processor, predictions = self._task.processor, list[Prediction]()
        assert isinstance(processor, Predicts)
        data = of_items([as_tensors(item) for item in items], self._card)
        with torch.inference_mode(), evaluating(self._model):
            for batch in self._task.eval_batches(data, "test", device=self._device):
                outputs = outputs_of(self._model, batch.inputs)
                if isinstance(outputs, Tensor):
                    outputs = require_finite(outputs.float().cpu().numpy())
                predictions += processor.answers(outputs, self._card.preprocess, top=top)
        assert len(predictions) == len(items), "a task must answer each input"
        return predictions


class _Sequences:
    """Scores of sequences by a model that carries a state, from zeros for each, in one lane."""

    def __init__(self, model: nn.Module, card: Card, task: Task, context: int, device: str) -> None:
        self._model, self._card, self._task = model, card, task
        self._on: Any = {"context": context, "device": device}

    def __call__(self, items: list[Any], top: int | None) -> list[Prediction]:
        """Return the metrics of each sequence, and what it holds."""
        return [self._score(as_tensors(item)) for item in items]

    def _score(self, item: Any) -> Prediction:
        data = of_items(item, self._card)
        measured = measure(self._model, self._task, data, "test", one_lane=True, **self._on)
        values = require_finite(np.array([*measured.metrics.values()]))
        return Prediction(answers=[{**measured.metrics, **self._task.counts(data, "test")}], values=values)
