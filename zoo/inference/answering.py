"""What computes the answers to inputs that were read: a module, or the program of an exported file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.views import of_items
from zoo.errors import Diverged
from zoo.evaluation.measure import measure, outputs_of
from zoo.files.cards import Card
from zoo.inference.programs import Runner
from zoo.interfaces import CarriesState, Prediction, Predicts, State, Task
from zoo.models.hooks import evaluating

__all__ = ["Answer", "answering", "answering_exported"]

# Maps some items, and the most answers for each (None for what is usual), to what the model says of each
Answer = Callable[[list[Any], int | None], Sequence[Prediction]]


def answering(model: nn.Module, card: Card, task: Task, *, context: int = 0, device: str = "cpu") -> Answer:
    """Return what a module answers. Gradients are off, and numbers are fp32, as in evaluation.

    Args:
        context: most tokens that the model reads from an empty state on; 0 is any.
    """
    if isinstance(task, Predicts):
        return _Batches(model, card, task, device)
    return _Sequences(model, card, task, context, device)


def answering_exported(runner: Runner, card: Card, task: Task) -> Answer:
    """Return what the program of an exported file answers."""
    if isinstance(task, CarriesState):
        return _Sequences(_Stepping(runner), card, task)
    return _Program(runner, card, task)


class _Batches:
    """Answers of a model to items that have nothing to do with each other."""

    def __init__(self, model: nn.Module, card: Card, task: Task, device: str) -> None:
        self._model, self._card, self._task, self._device = model, card, task, device

    def __call__(self, items: list[Any], top: int | None) -> list[Prediction]:
        """Return what the model says of each item."""
        predictions: list[Prediction] = []
        with torch.inference_mode(), evaluating(self._model):
            for batch in self._task.eval_batches(of_items(items, self._card), "test", device=self._device):
                outputs = outputs_of(self._model, batch.inputs)
                if isinstance(outputs, Tensor):
                    outputs = _finite(outputs.float()).cpu()
                predictions += _answers(self._task, outputs, self._card, top)
        assert len(predictions) == len(items), "a task must answer each input"
        return predictions


class _Program:
    """Answers of a program that prepares the items itself."""

    def __init__(self, runner: Runner, card: Card, task: Task) -> None:
        self._runner, self._card, self._task = runner, card, task

    def __call__(self, items: list[Any], top: int | None) -> Sequence[Prediction]:
        """Return what the program says of each item."""
        outputs = self._runner.first(np.stack([np.asarray(item[0]) for item in items]))
        return _answers(self._task, _finite(torch.from_numpy(outputs)), self._card, top)


class _Sequences:
    """Scores of sequences by a model that carries a state, from zeros for each, in one lane."""

    def __init__(
        self, model: nn.Module, card: Card, task: Task, context: int = 0, device: str = "cpu"
    ) -> None:
        self._model, self._card, self._task, self._context = model, card, task, context
        self._device = device

    def __call__(self, items: list[Any], top: int | None) -> list[Prediction]:
        """Return the metrics of each sequence, and what it holds."""
        return [self._score(item) for item in items]

    def _score(self, item: Any) -> Prediction:
        data, on = of_items(item, self._card), {"context": self._context, "device": self._device}
        measured = measure(self._model, self._task, data, "test", one_lane=True, **cast("Any", on))
        values = _finite(torch.tensor([*measured.metrics.values()]))
        return Prediction(answers=[{**measured.metrics, **self._task.counts(data, "test")}], values=values)


class _Stepping(nn.Module):
    """One step of a language model, an exported program, as a module that reads any number of tokens."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Map tokens (T, B) and a state to logits (T, B, V) and the state after them."""
        logits: list[Tensor] = []
        for row in tokens.numpy():
            after, state = self._runner.step(row, state)
            logits.append(torch.from_numpy(after))
        return torch.stack(logits), state


def _answers(task: Task, outputs: Any, card: Card, top: int | None) -> Sequence[Prediction]:
    assert isinstance(task, Predicts)
    return task.answers(outputs, card.preprocess, top=top)


def _finite(outputs: Tensor) -> Tensor:
    """Return outputs. Raises Diverged if one is not a number: finite weights can be too large."""
    if outputs.isnan().any() or outputs.eq(torch.inf).any():
        hint = "the weights are finite, but too large to compute with"
        raise Diverged("the answers are not finite", hint=hint)
    return outputs
