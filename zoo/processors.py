"""The part of a task that does not need torch: it reads inputs and describes a model's predictions.

The callable that `TaskSpec.processor` names returns a Processor. An exported model needs only this part, so
neither this module nor a processor's module imports torch: inputs and outputs are NumPy arrays. Optional
abilities of a processor are Protocols: `TakesItems`, `ReadsInputs`, `Predicts`, `Scores`, and
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


class Processor(ABC):
    """Prepares inputs for the models of a task, and describes their predictions.

    Args:
        spec: the spec that the task's plugin registers.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @abstractmethod
    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Raise OptionError if a card's `preprocess` does not match a model built with `arguments`."""

    @abstractmethod
    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return the name of the items to count, such as `images`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReader:
    """Reads the user's own inputs for a model, one by one.

    Attributes:
        read: function that reads a file (given its path) or an object in memory. It returns an item as in a
            split, with arrays instead of tensors and -1 instead of a target. Several threads can call it at
            once. It raises DataError for an input that is missing or damaged, and OptionError for an object
            of an unsupported type.
        what: name of the inputs, such as `images`.
        suffixes: lowercase suffixes of the files to read in a folder; empty for all files.
        strings: whether a string is an input itself, instead of the path of an input.
        notice: notice to print about how inputs are read; can be empty.
        refuse: function that returns the reason why a named file has the wrong type, such as a text file
            among images, or an empty string if the file can be read. It is called for all named files before
            the first file is read.
    """

    read: Callable[[Any], Any]
    what: str
    suffixes: Sequence[str] = ()
    strings: bool = False
    notice: str = ""
    refuse: Callable[[Path], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A model's predictions for one input.

    Attributes:
        rows: dicts of JSON data with the same keys, such as `{"class": "cat", "probability": 0.9}`, with the
            most likely first; shares and probabilities are between 0 and 1.
        confidence: the probability of the first prediction, if the model selects one; otherwise None.
        values: all predicted numbers, such as the probability of every class, (K,); None if the output for an
            input is not a row of numbers.
        images: functions that return a PNG image, such as a mask, by image name.
    """

    rows: Sequence[Mapping[str, Any]]
    confidence: float | None = None
    values: NDArray[Any] | None = None
    images: Mapping[str, Callable[[], bytes]] = field(default_factory=dict[str, Callable[[], bytes]])


@runtime_checkable
class TakesItems(Protocol):
    """A processor for models that can be exported because all items have the same shape."""

    def item(self, dims: Mapping[str, int]) -> NDArray[Any]:
        """Return one generated input, such as a uint8 image (C, H, W)."""
        ...


@runtime_checkable
class ReadsInputs(Protocol):
    """A processor for models that read the user's own inputs, one by one."""

    def input_reader(self, card: Card) -> InputReader:
        """Return the input reader for the model that a card describes."""
        ...


@runtime_checkable
class Predicts(ReadsInputs, Protocol):
    """A processor for models that make a prediction for each input separately."""

    def predictions(
        self, outputs: NDArray[Any], preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        """Return a model's predictions for each input of a batch.

        Args:
            outputs: the model's outputs for the batch, such as logits (B, K), float32.
            preprocess: as in `Dataset.preprocess`.
            top: maximum number of predictions for each input, at least 1; None for the default. zoo sets it
                only if the task's spec declares `labels`.
        """
        ...


@runtime_checkable
class Scores(ReadsInputs, Protocol):
    """A processor for models that carry a state through a sequence, and score it with the task's metrics."""

    def score(
        self, outputs: Iterable[NDArray[Any]], tokens: NDArray[Any], preprocess: Mapping[str, Any]
    ) -> Prediction:
        """Return the metrics and the counts of a sequence as its only prediction.

        Args:
            outputs: the model's outputs after each token but the last, such as logits, float32, in chunks (T,
                V).
            tokens: the sequence, (N,), as `InputReader.read` returns it.
            preprocess: as in `Dataset.preprocess`.
        """
        ...


def make_processor(registry: Registry, name: str) -> Processor:
    """Return the processor of the task with this name. Raises UnknownName."""
    spec = registry.task(name)
    return spec.load_processor()(spec)
