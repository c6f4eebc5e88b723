"""The half of a task that needs no torch: it reads the user's own inputs and describes a model's answers.

The callable behind `TaskSpec.processor` returns a Processor. An exported model is used with nothing else, so
neither this module nor one with a processor imports torch: inputs and outputs are arrays of numpy.

What a processor may also be able to do is a Protocol: `TakesItems`, `ReadsInputs`, `Predicts`, `Scores`, and
`zoo.data.vocabulary.WritesText`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from zoo.files.cards import Card
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec

__all__ = [
    "InputReader",
    "Prediction",
    "Predicts",
    "Processor",
    "ReadsInputs",
    "Scores",
    "TakesItems",
    "make_processor",
]


class Processor(ABC):
    """What feeds the models of a task, and what is made of their answers.

    Args:
        spec: what its plugin registers.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @abstractmethod
    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Raise OptionError if a card's `preprocess` cannot feed a model built with `arguments`."""

    @abstractmethod
    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return the name of the items that are counted, such as `images`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReader:
    """How inputs of the user's own become what a model reads, one by one.

    Attributes:
        read: returns one input as an item of a split, with arrays in place of tensors and -1 in place of a
            target, from the path of a file or from an object in memory. Several threads call it. It raises
            DataError for an input that is missing or damaged, and OptionError for an object that can be none.
        what: what the inputs are, such as `images`.
        suffixes: lower-case suffixes of the files to read in a folder; all files are read if there are none.
        strings: whether a string is an input itself, rather than the path of one.
        notice: what users should know of how each input is read; empty if nothing.
        refuse: returns why a file that a user names is of another kind, such as a text among images; empty
            if it may be read. It is called for each of them before any is read.
    """

    read: Callable[[Any], Any]
    what: str
    suffixes: Sequence[str] = ()
    strings: bool = False
    notice: str = ""
    refuse: Callable[[Path], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one input.

    Attributes:
        rows: tables of JSON data with the same keys, such as `{"class": "cat", "probability": 0.9}`, the
            most likely first; shares and probabilities are from 0 to 1.
        confidence: the probability of the first answer, where a model chooses one; else None.
        values: numbers that say all of it, such as the probability of every class, (K,); None if an input has
            no such row of numbers.
        images: functions that draw a PNG, such as a mask, by what it is called.
    """

    rows: Sequence[Mapping[str, Any]]
    confidence: float | None = None
    values: NDArray[Any] | None = None
    images: Mapping[str, Callable[[], bytes]] = field(default_factory=dict[str, Callable[[], bytes]])


@runtime_checkable
class TakesItems(Protocol):
    """A processor of models that read items of one shape, so that they can be exported."""

    def item(self, dims: Mapping[str, int]) -> NDArray[Any]:
        """Return the input of one made-up item of a split, such as an image, uint8 (C, H, W)."""
        ...


@runtime_checkable
class ReadsInputs(Protocol):
    """A processor of models that are given inputs of the user's own, one by one."""

    def input_reader(self, card: Card) -> InputReader:
        """Return how the model behind a card reads an input."""
        ...


@runtime_checkable
class Predicts(ReadsInputs, Protocol):
    """A processor of models that answer each input by itself."""

    def predictions(
        self, outputs: NDArray[Any], preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        """Return what a model says of each input of a batch.

        Args:
            outputs: what the model returns for the batch, such as logits (B, K), float32.
            preprocess: as `Dataset.preprocess`.
            top: the most answers for each input, at least 1; None for what is usual. Given only for a task
                whose spec names `labels`.
        """
        ...


@runtime_checkable
class Scores(ReadsInputs, Protocol):
    """A processor of models that carry a state through a sequence, which they score by the task's metrics."""

    def score(
        self, outputs: Iterable[NDArray[Any]], tokens: NDArray[Any], preprocess: Mapping[str, Any]
    ) -> Prediction:
        """Return the metrics of a sequence as its only answer, and what it holds.

        Args:
            outputs: what the model returns after each token but the last, such as logits, float32, in
                stretches (T, V).
            tokens: the sequence, (N,), as `InputReader.read` returns it.
            preprocess: as `Dataset.preprocess`.
        """
        ...


def make_processor(registry: Registry, name: str) -> Processor:
    """Return the processor of the task of this name. Raises UnknownName."""
    spec = registry.task(name)
    return spec.load_processor()(spec)
