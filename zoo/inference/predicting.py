"""What a trained model says of inputs of the user's own. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.config import options
from zoo.data.reading import Unread, in_batches, require_number, workers
from zoo.data.sources import Source
from zoo.errors import Diverged, OptionError, WeightsError
from zoo.files.cards import Card
from zoo.inference.sequences import stretches
from zoo.models.runners import Runner
from zoo.processors import Prediction, Predicts, Processor, ReadsInputs, Scores

__all__ = ["UNSURE", "Answered", "Predicting", "predict", "require_reading"]

# What is answered below a probability, in place of a class
UNSURE = "unsure"


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
            require_number(name, getattr(self, name))
        if self.unsure is not None and not 0 <= self.unsure <= 1:
            raise OptionError(f"unsure must be a probability from 0 to 1 (got {self.unsure})")

    def workers(self) -> int:
        """Return how many threads read."""
        return workers(self.threads)


def require_reading(processor: Processor) -> ReadsInputs:
    """Return a processor that can answer inputs. Raises WeightsError for another."""
    if isinstance(processor, Predicts | Scores):
        return processor
    what = f"a model for {processor.spec.name} cannot predict: its task does not say how"
    raise WeightsError(what, hint="its author can make its processor a zoo.processors.Predicts")


def predict(
    runner: Runner, card: Card, processor: Processor, sources: Iterable[Source], *, how: Predicting
) -> Iterator[Answered]:
    """Yield the answers for each source in order.

    Raises:
        OptionError: `how` does not fit the task, or an input is an object that can be none.
        WeightsError: the task does not say how to predict, or a layer needs too much memory.
        Diverged: an answer is not finite.
    """
    read = require_reading(processor).input_reader(card).read
    labels, one_by_one = processor.spec.labels, isinstance(processor, Scores)
    if how.top is not None and (one_by_one or not labels):
        name = processor.spec.name
        raise OptionError(f"top is for models that choose among classes, but this one is for {name}")
    if how.unsure is not None and labels and UNSURE in map(str, card.preprocess.get(labels[1], ())):
        raise OptionError(f"unsure cannot be answered: the model has a class of that name, {UNSURE!r}")

    def answer(items: list[Any]) -> Sequence[Prediction]:
        if isinstance(processor, Scores):
            return [_scored(runner, card, processor, item) for item in items]
        assert isinstance(processor, Predicts)
        outputs = _finite(runner.run(np.stack([item[0] for item in items]))[runner.answer])
        return processor.answers(outputs, card.preprocess, top=how.top)

    size = 1 if one_by_one else how.batch_size
    return _rows(in_batches(sources, read, answer, size=size, threads=how.workers()), how.unsure)


def _scored(runner: Runner, card: Card, processor: Scores, tokens: NDArray[np.int64]) -> Prediction:
    """Return what a processor says of a sequence, which is read from an empty state on."""
    read = (_finite(outputs[runner.answer]) for outputs in stretches(runner, tokens[:-1]))
    return processor.score(read, tokens, card.preprocess)


def _finite(outputs: NDArray[Any]) -> NDArray[Any]:
    """Return outputs. Raises Diverged if one is not a number: finite weights can be too large."""
    if np.isnan(outputs).any() or np.isposinf(outputs).any():
        hint = "the weights are finite, but too large to compute with"
        raise Diverged("the answers are not finite", hint=hint)
    return outputs


def _rows(found: Iterable[tuple[Source, Prediction | Unread]], unsure: float | None) -> Iterator[Answered]:
    for source, prediction in found:
        if isinstance(prediction, Unread):
            yield Answered({"input": source.name, "answers": [], "error": prediction.why}, None)
        else:
            answers = _sure(prediction, unsure)
            yield Answered({"input": source.name, "answers": answers, "error": None}, prediction)


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
