"""What a trained model says of inputs of the user's own: read by several threads, answered in batches."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from zoo.config import options
from zoo.data.views import View
from zoo.errors import DataError, Diverged, OptionError, WeightsError
from zoo.evaluation.measure import measure, outputs_of
from zoo.files.cards import Card
from zoo.inference.sources import Source
from zoo.interfaces import CarriesState, Dataset, Prediction, Predicts, ReadsInputs, Task
from zoo.models.hooks import evaluating

__all__ = ["UNSURE", "Answered", "Predicting", "predict", "require_reading"]

# What is answered below a probability, in place of a class
UNSURE = "unsure"
# The most threads that read, unless the user chooses
_MOST_THREADS = 8
T = TypeVar("T")


class Answered(NamedTuple):
    """What a model says of an input.

    Attributes:
        row: `{"input", "answers", "error"}`, JSON data; the error is None, or why there are no answers.
        prediction: None if there are no answers.
    """

    row: dict[str, Any]
    prediction: Prediction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicting:
    """How to predict. Raises OptionError for a value of another type or out of range.

    Attributes:
        top: the most answers for each input; None for what is usual in the task.
        unsure: the probability below which the answer is `UNSURE`; None to answer in any case.
        batch_size: inputs that the model reads at a time.
        threads: threads that read and decode files; None for one for each core, at most eight.
    """

    top: int | None = None
    unsure: float | None = None
    batch_size: int = 64
    threads: int | None = None

    def __post_init__(self) -> None:
        options.validate(self)
        for name in ("top", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 100_000:
                raise OptionError(f"{name} must be between 1 and 100,000 (got {value:,})")
        if self.unsure is not None and not 0 <= self.unsure <= 1:
            raise OptionError(f"unsure must be a probability from 0 to 1 (got {self.unsure})")

    def workers(self) -> int:
        """Return how many threads read."""
        return self.threads or min(_MOST_THREADS, os.cpu_count() or 1)


def require_reading(task: Task) -> ReadsInputs:
    """Return a task that can answer inputs. Raises WeightsError for another."""
    if isinstance(task, Predicts) or (isinstance(task, ReadsInputs) and isinstance(task, CarriesState)):
        return task
    hint = "its author can make it a zoo.interfaces.Predicts"
    raise WeightsError(f"a model for {task.name} cannot predict: its task does not say how", hint=hint)


def predict(
    model: nn.Module,
    card: Card,
    task: Task,
    sources: Iterable[Source],
    *,
    how: Predicting,
    context: int = 0,
    device: str = "cpu",
) -> Iterator[Answered]:
    """Yield the answers for each source in order. Gradients are off, and numbers are fp32, as in evaluation.

    Args:
        context: most tokens that the model reads from an empty state on; 0 is any.

    Raises:
        OptionError: `how` does not fit the task, or an input is an object that can be none.
        WeightsError: the task does not say how to predict, or a layer needs too much memory.
        Diverged: an answer is not finite.
    """
    reader = require_reading(task).input_reader(card)
    labels = task.spec.labels
    if how.top is not None and not (labels and isinstance(task, Predicts)):
        raise OptionError(f"top is for models that choose among classes, but this one is for {task.name}")
    if how.unsure is not None and labels and UNSURE in map(str, card.preprocess.get(labels[1], ())):
        raise OptionError(f"unsure cannot be answered: the model has a class of that name, {UNSURE!r}")
    if isinstance(task, Predicts):
        size, answer = how.batch_size, _Batches(model, card, task, how.top, device)
    else:
        size, answer = 1, _Sequences(model, card, task, context, device)
    return _answered(sources, reader.read, answer, size, how)


def _answered(
    sources: Iterable[Source],
    read: Callable[[Any], Any],
    answer: Callable[[list[Any]], Sequence[Prediction]],
    size: int,
    how: Predicting,
) -> Iterator[Answered]:
    pairs = _read_ahead(sources, read, threads=how.workers(), ahead=size)
    while chunk := list(itertools.islice(pairs, size)):
        items = [item for _, item in chunk if not isinstance(item, _Unread)]
        predictions = iter(answer(items) if items else ())
        for source, item in chunk:
            if isinstance(item, _Unread):
                yield Answered({"input": source.name, "answers": [], "error": item.why}, None)
                continue
            prediction = next(predictions)
            answers = _sure(prediction, how.unsure)
            yield Answered({"input": source.name, "answers": answers, "error": None}, prediction)


class _Unread(NamedTuple):
    """In place of an item, why it could not be read."""

    why: str


def _read_ahead(
    sources: Iterable[Source], read: Callable[[Any], Any], *, threads: int, ahead: int
) -> Iterator[tuple[Source, Any]]:
    """Yield sources and their items in order, while threads read some that come later."""

    def attempt(source: Source) -> Any:
        if source.error:
            return _Unread(source.error)
        try:
            return read(source.value)
        except DataError as error:
            return _Unread(str(error).removeprefix(f"{source.name} "))
        except OSError as error:
            return _Unread(f"cannot be read: {error.strerror or error}")

    pool = ThreadPoolExecutor(threads, thread_name_prefix="zoo-read")
    waiting: deque[tuple[Source, Future[Any]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(attempt, source)))
            if len(waiting) > ahead + 2 * threads:
                first, item = waiting.popleft()
                yield first, item.result()
        while waiting:
            first, item = waiting.popleft()
            yield first, item.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Batches:
    """Answers of a model to items that have nothing to do with each other."""

    def __init__(self, model: nn.Module, card: Card, task: Task, top: int | None, device: str) -> None:
        self._model, self._card, self._task, self._top, self._device = model, card, task, top, device

    def __call__(self, items: list[Any]) -> list[Prediction]:
        """Return what the model says of each item."""
        assert isinstance(self._task, Predicts)
        task, preprocess = self._task, self._card.preprocess
        predictions: list[Prediction] = []
        with torch.inference_mode(), evaluating(self._model):
            for batch in self._task.eval_batches(_data(self._card, items), "test", device=self._device):
                outputs = outputs_of(self._model, batch.inputs)
                if isinstance(outputs, Tensor):
                    outputs = _finite(outputs.float()).cpu()
                answered = task.answers(outputs, preprocess, top=self._top)
                assert len(answered) == len(batch.inputs), "a task must answer each input"
                predictions += answered
        return predictions


class _Sequences:
    """Scores of sequences by a model that carries a state, from zeros for each, in one lane."""

    def __init__(self, model: nn.Module, card: Card, task: Task, context: int, device: str) -> None:
        self._model, self._card, self._task, self._context = model, card, task, context
        self._device = device

    def __call__(self, items: list[Any]) -> list[Prediction]:
        """Return the metrics of each sequence, and what it holds."""
        return [self._score(item) for item in items]

    def _score(self, item: Any) -> Prediction:
        data, on = _data(self._card, item), {"context": self._context, "device": self._device}
        measured = measure(self._model, self._task, data, "test", one_lane=True, **cast("Any", on))
        values = _finite(torch.tensor([*measured.metrics.values()]))
        return Prediction(answers=[{**measured.metrics, **self._task.counts(data, "test")}], values=values)


def _data(card: Card, items: Any) -> Dataset:
    """Return items as the test split of data that the model behind a card was trained on."""
    return View(
        dims=cast("Mapping[str, int]", card.arguments),
        preprocess=card.preprocess,
        split=lambda name: items if name == "test" else [],
    )


def _finite(outputs: Tensor) -> Tensor:
    """Return outputs. Raises Diverged if one is not a number: finite weights can be too large."""
    if outputs.isnan().any() or outputs.eq(torch.inf).any():
        hint = "the weights are finite, but too large to compute with"
        raise Diverged("the answers are not finite", hint=hint)
    return outputs


def _sure(prediction: Prediction, least: float | None) -> list[dict[str, Any]]:
    """Return the answers as JSON data; a single one, unsure, if the first is not probable enough.

    Raises OptionError if the model does not choose one answer.
    """
    if least is not None:
        if prediction.confidence is None:
            raise OptionError("unsure is for models that choose one class for each input")
        if prediction.confidence < least:
            return [{"class": UNSURE, "probability": _rounded(prediction.confidence)}]
    return [{key: _rounded(value) for key, value in answer.items()} for answer in prediction.answers]


def _rounded(value: Any) -> Any:
    """Return a number to six digits: those after them depend on the batch."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
