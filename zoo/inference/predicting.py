"""A trained model's predictions for the user's own inputs. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from zoo.data.read_ahead import Unread, in_batches, workers
from zoo.data.sources import Source
from zoo.errors import Diverged, OptionError, WeightsError
from zoo.files.cards import Card
from zoo.models.runners import Runner
from zoo.processors import Prediction, Predicts, Processor, Scores

# In place of a class whose probability is below the least that was asked for
UNSURE = "unsure"


class PredictedRow(NamedTuple):
    """A model's prediction for an input.

    Attributes:
        row: `{"input", "predictions", "error"}`, JSON data; the error is the reason that there are no
            predictions, or None.
        prediction: None if there are no predictions.
    """

    row: dict[str, Any]
    prediction: Prediction | None


def predictor(
    runner: Runner,
    card: Card,
    processor: Processor,
    *,
    top: int | None,
    min_confidence: float | None,
    batch_size: int,
    threads: int | None,
) -> Callable[[Iterable[Source]], Iterator[PredictedRow]]:
    """Return a function that yields the predictions for each source in order.

    It raises Diverged if they are not finite.

    The arguments are as in `zoo.Model.predict`.

    Raises:
        OptionError: the task does not support an option.
        WeightsError: the task does not implement prediction.
    """
    if not isinstance(processor, Predicts | Scores):
        what = f"a model for {processor.spec.name} cannot predict: its task does not implement prediction"
        raise WeightsError(what, hint="the task's processor must implement zoo.plugin.Predicts")
    labels, one_by_one = processor.spec.labels, isinstance(processor, Scores)
    if top is not None and (one_by_one or not labels):
        name = processor.spec.name
        raise OptionError(f"top requires a model that chooses among classes, but this model is for {name}")
    if min_confidence is not None and labels and UNSURE in map(str, card.preprocess.get(labels[1], ())):
        raise OptionError(f"min_confidence cannot be used: the model already has a class named {UNSURE!r}")
    read, size = processor.input_reader(card).read, 1 if one_by_one else batch_size

    def answer(items: list[Any]) -> Sequence[Prediction]:
        if isinstance(processor, Scores):
            return [_scored(runner, card, processor, item) for item in items]
        outputs = _finite(runner.run(np.stack([item[0] for item in items]))[runner.main_output])
        return processor.predictions(outputs, card.preprocess, top=top)

    def predict(sources: Iterable[Source]) -> Iterator[PredictedRow]:
        return _rows(in_batches(sources, read, answer, size=size, threads=workers(threads)), min_confidence)

    return predict


def _scored(runner: Runner, card: Card, processor: Scores, tokens: NDArray[np.int64]) -> Prediction:
    """Return a processor's prediction for a sequence, which is read from an empty state."""
    read = (_finite(outputs[runner.main_output]) for outputs in runner.read(tokens[:-1]))
    return processor.score(read, tokens, card.preprocess)


def _finite(outputs: NDArray[Any]) -> NDArray[Any]:
    """Return outputs. Raises Diverged if one is NaN, which finite but very large weights can cause."""
    if np.isnan(outputs).any() or np.isposinf(outputs).any():
        hint = "the weights are finite, but so large that results overflow"
        raise Diverged("the predictions are not finite", hint=hint)
    return outputs


def _rows(
    found: Iterable[tuple[Source, Prediction | Unread]], min_confidence: float | None
) -> Iterator[PredictedRow]:
    for source, prediction in found:
        if isinstance(prediction, Unread):
            yield PredictedRow(source.row(predictions=[], error=prediction.why), None)
        else:
            rows = _sure(prediction, min_confidence)
            yield PredictedRow(source.row(predictions=rows, error=None), prediction)


def _sure(prediction: Prediction, least: float | None) -> list[dict[str, Any]]:
    """Return the predictions as JSON data, or only `unsure` if the first is too improbable.

    Raises OptionError if the model does not choose one class.
    """
    if least is not None:
        if prediction.confidence is None:
            raise OptionError("min_confidence requires a model that chooses one class for each input")
        if prediction.confidence < least:
            return [{"class": UNSURE, "probability": rounded(prediction.confidence)}]
    return [{key: rounded(value) for key, value in row.items()} for row in prediction.rows]


def rounded(value: Any) -> Any:
    """Round a number, or all numbers in a list, to six digits; further digits depend on the batch."""
    if isinstance(value, list):
        return [*map(rounded, cast("list[Any]", value))]
    return float(f"{value:.6g}") if isinstance(value, float) else value
