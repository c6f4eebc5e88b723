"""Running the program of an exported file: arrays of numpy in and out, and what it must give. Torch-free."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.config.threads import chosen_threads, cores
from zoo.errors import Diverged, OptionError, WeightsError, first_line
from zoo.files.cards import Card
from zoo.files.exported import FEATURES, Port, Program, Signature
from zoo.inference.embedding import Embedding, FeaturesOf
from zoo.inference.predicting import Answer
from zoo.inference.readers import Numbers, Read, Tokens
from zoo.processors import Prediction, Predicts, Processor, Scores

__all__ = [
    "ProgramReader",
    "Runner",
    "answering_exported",
    "extracting_exported",
    "require_finite",
    "usual_threads",
]

Arrays = Mapping[str, NDArray[Any]]
# Bytes of state of all lanes together; a file of a few kB may claim any shape
_MOST_STATE = 1 << 30
# The most threads for one step of a language model, unless the user chooses
_STEP_THREADS = 4


class Runner:
    """A program that is given what its signature says, and is held to it.

    Args:
        name: of the file, for messages.
        hint: what to do about a program that fails.

    Attributes:
        outputs: the name of each output, in order.
    """

    def __init__(
        self,
        program: Program,
        signature: Signature,
        *,
        name: str,
        hint: str | None = "export the model again",
    ) -> None:
        self._program, self._hint = program, hint
        self.signature = signature
        self.name = name
        self.outputs = [port.name for port in signature.outputs]
        self._inputs = {port.name: port for port in signature.inputs}

    def __call__(self, items: NDArray[Any], state: Arrays | None = None) -> Arrays:
        """Return the outputs for a batch: items (B, ...); or a token of each lane, (B,), and the state.

        Raises WeightsError if the program fails, or gives anything else than its signature says.
        """
        wanted = self.signature.inputs[0]
        items = items.astype(wanted.dtype, copy=False)
        if not _fits(items, wanted, len(items)):
            raise self._wrong(f"reads {wanted.shown()}, but was given {_shown_array(items)}")
        try:
            outputs = self._program({wanted.name: items, **(state or {})})
        except Exception as error:
            raise self._wrong(f"cannot be run: {first_line(error)}") from None
        for port in self.signature.outputs:
            got = outputs.get(port.name)
            if got is None or not _fits(got, port, len(items)):
                shown = "nothing" if got is None else _shown_array(got)
                raise self._wrong(f"should give {port.name} as {port.shown()}, but gave {shown}")
        return outputs

    def first(self, items: NDArray[Any]) -> NDArray[Any]:
        """Return the first output for a batch of items: logits, or numbers."""
        return self(items)[self.outputs[0]]

    def zeros(self, lanes: int) -> Arrays:
        """Return the state at the start of each lane. Raises WeightsError for one that is too large."""
        ports = {name: self._inputs[name] for name in self.signature.state}
        shapes = {name: [lanes if n is None else n for n in port.shape] for name, port in ports.items()}
        if sum(8 * int(np.prod(shape, dtype=np.float64)) for shape in shapes.values()) > _MOST_STATE:
            raise self._wrong("needs too much memory for its state")
        return {name: np.zeros(shape, ports[name].dtype) for name, shape in shapes.items()}

    def step(self, tokens: Tokens, state: Arrays | None) -> tuple[Numbers, Arrays]:
        """Return the logits after a token of each lane, (B, V), and the state."""
        outputs = self(tokens, self.zeros(len(tokens)) if state is None else state)
        return outputs[self.outputs[0]], self.following(outputs)

    def following(self, outputs: Arrays) -> Arrays:
        """Return the state that outputs hold, as the next step takes it."""
        return {before: outputs[after] for before, after in self.signature.state.items()}

    def _wrong(self, what: str) -> WeightsError:
        return WeightsError(f"{self.name} {what}", hint=self._hint)


class ProgramReader:
    """A language model that an exported file holds: one step of it, called for each token."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @contextmanager
    def reading(self) -> Generator[Read]:
        """Yield a function that reads tokens."""

        def read(tokens: Tokens, state: Arrays | None) -> tuple[Numbers, Arrays]:
            logits, state = self._runner.step(tokens[0], state)
            for row in tokens[1:]:
                logits, state = self._runner.step(row, state)
            return logits, state

        yield read


def answering_exported(runner: Runner, card: Card, processor: Processor) -> Answer:
    """Return what the program of an exported file answers."""
    if isinstance(processor, Scores):
        return _Sequences(runner, card, processor)
    assert isinstance(processor, Predicts)
    return _Batches(runner, card, processor)


def extracting_exported(runner: Runner, processor: Processor, how: Embedding) -> FeaturesOf:
    """Return what the program of an exported file computes as the features of items.

    Raises OptionError unless it has what is asked for: a vector for each item, of its one layer.
    """
    if FEATURES not in runner.outputs:
        hint = "the model had none when it was exported: no landmark of its architecture is features or head"
        raise OptionError(f"{runner.name} has no features", hint=hint)
    texts = isinstance(processor, Scores)
    if how.layer != FEATURES or not (how.pool or texts):
        asked = f"the layer {how.layer}" if how.layer != FEATURES else "features that are not pooled"
        hint = "use the weights that it was exported from"
        raise OptionError(f"{runner.name} is an exported file, which does not have {asked}", hint=hint)
    if texts:
        return lambda items: [_features_of_sequence(runner, item, pool=how.pool) for item in items]
    return lambda items: [*runner(np.stack([item[0] for item in items]))[FEATURES]]


def _features_of_sequence(runner: Runner, tokens: Tokens, *, pool: bool) -> NDArray[np.float32]:
    """Return the features after each token, (T, F), or their mean; from an empty state on."""
    kept: list[NDArray[Any]] = []
    total, state = np.zeros((), np.float64), runner.zeros(1)
    for place in range(len(tokens)):
        outputs = runner(tokens[place : place + 1], state)
        state = runner.following(outputs)
        found = outputs[FEATURES][0]
        kept += [] if pool else [found]
        total = total + found
    return (total / len(tokens)).astype(np.float32) if pool else np.stack(kept)


def require_finite(outputs: NDArray[Any]) -> NDArray[Any]:
    """Return outputs. Raises Diverged if one is not a number: finite weights can be too large."""
    if np.isnan(outputs).any() or np.isposinf(outputs).any():
        hint = "the weights are finite, but too large to compute with"
        raise Diverged("the answers are not finite", hint=hint)
    return outputs


def usual_threads(signature: Signature) -> int:
    """Return how many threads a program runs on: $OMP_NUM_THREADS, or one for each core.

    The steps of a language model are too short for more than a few.
    """
    if chosen := chosen_threads():
        return chosen
    return min(cores(), _STEP_THREADS) if signature.state else cores()


class _Batches:
    """Answers of a program, which prepares the items itself."""

    def __init__(self, runner: Runner, card: Card, processor: Predicts) -> None:
        self._runner, self._card, self._processor = runner, card, processor

    def __call__(self, items: list[Any], top: int | None) -> Sequence[Prediction]:
        """Return what the program says of each item."""
        outputs = require_finite(self._runner.first(np.stack([item[0] for item in items])))
        return self._processor.answers(outputs, self._card.preprocess, top=top)


class _Sequences:
    """Scores of sequences, each from an empty state on."""

    def __init__(self, runner: Runner, card: Card, processor: Scores) -> None:
        self._runner, self._card, self._processor = runner, card, processor

    def __call__(self, items: list[Any], top: int | None) -> list[Prediction]:
        """Return what the program's answers say of each sequence."""
        return [self._processor.score(self._steps(item), item, self._card.preprocess) for item in items]

    def _steps(self, tokens: Tokens) -> Iterator[Numbers]:
        """Yield the logits (V,) after each token but the last."""
        state = None
        for place in range(len(tokens) - 1):
            logits, state = self._runner.step(tokens[place : place + 1], state)
            yield require_finite(logits[0])


def _fits(array: NDArray[Any], port: Port, batch: int) -> bool:
    shape = tuple(batch if size is None else size for size in port.shape)
    return array.shape == shape and array.dtype == np.dtype(port.dtype)


def _shown_array(array: NDArray[Any]) -> str:
    return f"{array.dtype} ({', '.join(map(str, array.shape))})"
