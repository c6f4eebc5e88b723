"""The part of a task that does not need torch: it reads inputs and describes a model's predictions.

The callable that `TaskSpec.processor` names returns a Processor. An exported model needs only this part, so
neither this module nor a processor's module imports torch: inputs and outputs are NumPy arrays. Optional
abilities of a processor are Protocols: `TakesItems`, `ReadsInputs`, `Predicts`, `Scores`, and
`zoo.data.vocabulary.WritesText`.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, TypedDict, cast, runtime_checkable

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from zoo.config import options
from zoo.errors import DataError, OptionError, ZooError, cause
from zoo.files.cards import Card
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec

if TYPE_CHECKING:
    from PIL.Image import Image

# The largest dim in a card, such as the number of samples of a recording
_LARGEST = 10_000_000


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


def matched_labels(names: Sequence[str], known: Sequence[str], *, exact: bool = False) -> list[int | None]:
    """Return the position of each name among the known names, such as classes; None for a new name.

    If no known name is exactly equal, a name that differs only in case, spaces or punctuation is used if
    there is exactly one.

    Args:
        exact: whether only equal names match, as for tokens.
    """
    same = {name: number for number, name in enumerate(known)}
    often = Counter(map(_plain, known))
    plain = {} if exact else {_plain(name): n for name, n in same.items() if often[_plain(name)] == 1}
    plain.pop("", None)  # of punctuation alone
    return [same.get(name, plain.get(_plain(name))) for name in names]


def _plain(name: str) -> str:
    """Return the letters and digits of a name, in lowercase."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReader:
    """Reads the user's own inputs for a model, one by one.

    Attributes:
        read: function that reads a file (given its path) or an object in memory. It returns an item as in a
            split, with arrays instead of tensors and -1 instead of a target. Several threads can call it at
            once. It raises DataError for an input that is missing or damaged, and OptionError for an object
            of an unsupported type. Bytes are the content of a file, so a reader that needs a path raises
            OptionError for them. An upload to `zoo serve` is the path of a temporary file with the same
            suffix; if there is a `picture`, it is bytes, and then an item as a uint8 array (H, W, C).
        what: name of the inputs, such as `images`.
        suffixes: lowercase suffixes of the files to read in a folder; empty for all files.
        strings: whether a string is an input itself, instead of the path of an input, and `-` on the command
            line is all of stdin as one input, instead of a list of paths. Other arguments on the command line
            are always paths.
        notice: function that returns a notice about how an input is read, given the argument of `read`, or an
            empty string. Only the first notice is printed.
        refuse: function that returns the reason why a named file has the wrong type, such as a text file
            among images, or an empty string if the file can be read. It is called for all named files before
            the first file is read.
        picture: function that returns an input as a square Pillow image in color to draw on, given the input
            and the largest side in pixels; None if inputs are not images.
    """

    read: Callable[[Any], Any]
    what: str
    suffixes: Sequence[str] = ()
    strings: bool = False
    notice: Callable[[Any], str] | None = None
    refuse: Callable[[Path], str] | None = None
    picture: Callable[[Any, int], Image] | None = None


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


class _Feeding(TypedDict, total=False):
    """The keys of `preprocess` that the processors below check; others are not checked."""

    mean: list[Annotated[float, Meta(ge=-1e30, le=1e30)]]
    std: list[Annotated[float, Meta(ge=1e-30, le=1e30)]]
    target_mean: list[Annotated[float, Meta(ge=-1e30, le=1e30)]]
    target_std: list[Annotated[float, Meta(ge=1e-30, le=1e30)]]
    targets: list[str]
    classes: list[str]


class ItemProcessor(Processor):
    """The processor of a `zoo.plugin.ItemTask`. A subclass adds `item`, `read` and `predictions`.

    Attributes:
        what: plural noun for the items, such as `recordings`.
        suffixes: lowercase suffixes of the files to read in a folder; empty for all files.
        lengths: pairs of keys, of `preprocess` or of dims, that must have equally many values.
    """

    what: ClassVar[str] = "items"
    suffixes: ClassVar[Sequence[str]] = ()
    lengths: ClassVar[Sequence[tuple[str, str]]] = (("mean", "std"),)

    @abstractmethod
    def item(self, dims: Mapping[str, int]) -> NDArray[Any]:
        """Return one generated input in the same form as in a split."""

    @abstractmethod
    def read(self, source: Any, card: Card) -> NDArray[Any]:
        """Return the input in a file, given its path, or in an object in memory, in the same form.

        The source is never bytes. Raise DataError with a message for the user if it cannot be read; other
        exceptions are reported by their class and message.
        """

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return `what`."""
        return self.what

    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Raise OptionError if a dim is missing, or if the numbers of names and scales do not match."""
        for dim in self.spec.dims:
            if type(size := arguments.get(dim)) is not int or not 1 <= size <= _LARGEST:
                raise OptionError(f"{dim} must be an integer from 1 to {_LARGEST:,} (got {size!r:.40})")
        found = options.convert_table(preprocess, _Feeding, what="preprocess")
        counts = {"mean": 0, "std": 0, **arguments, **{key: len(found[key]) for key in found}}
        for one, other in self.lengths:
            if missing := {one, other} - counts.keys():
                raise OptionError(f"preprocess: {min(missing)} is missing")
            if counts[one] != counts[other]:
                raise OptionError(f"{one} has {counts[one]} values, but {other} requires {counts[other]}")

    def input_reader(self, card: Card) -> InputReader:
        """Return a reader that calls `read`, and rejects an input whose shape differs from that of `item`."""
        shape = self.item(cast("Mapping[str, int]", card.arguments)).shape

        def read(source: Any) -> tuple[NDArray[Any], int]:
            name = source if isinstance(source, Path) else "the input"
            if isinstance(source, bytes):
                hint = "save it to a file, and pass the path"
                raise OptionError(
                    f"expected {self.what} in files or arrays (got the content of a file)", hint=hint
                )
            try:
                item = self.read(source, card)
            except (ZooError, OSError):
                raise
            except Exception as error:  # such as a word among numbers
                raise DataError(f"{name} cannot be read: {cause(error)}") from error
            if item.shape != shape:
                raise DataError(f"{name} has the shape {item.shape}, but the model reads {shape}")
            return item, -1

        return InputReader(read=read, what=self.what, suffixes=self.suffixes)


class ClassificationProcessor(ItemProcessor):
    """The processor of a `zoo.plugin.ClassificationTask`."""

    lengths = (("classes", "num_classes"), *ItemProcessor.lengths)

    def predictions(
        self, outputs: NDArray[Any], preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        """Return the most likely classes of each item with their probabilities; by default, one class."""
        names = preprocess["classes"]
        odds = np.exp(outputs - outputs.max(1, keepdims=True))  # (B, K)
        probabilities = odds / odds.sum(1, keepdims=True)
        ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, : top or 1].tolist()
        found: list[Prediction] = []
        for values, best in zip(probabilities, ranked, strict=True):
            answers = [{"class": names[number], "probability": float(values[number])} for number in best]
            found.append(Prediction(rows=answers, confidence=answers[0]["probability"], values=values))
        return found


class RegressionProcessor(ItemProcessor):
    """The processor of a `zoo.plugin.RegressionTask`."""

    lengths = (("targets", "target_mean"), ("targets", "target_std"), *ItemProcessor.lengths)

    def predictions(
        self, outputs: NDArray[Any], preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        """Return the numbers predicted for each item, in the units of the targets."""
        names, std, mean = (preprocess[key] for key in ("targets", "target_std", "target_mean"))
        found: list[Prediction] = []
        for values in outputs.reshape(len(outputs), -1) * np.array(std) + np.array(mean):  # (K,)
            pairs = zip(names, values.tolist(), strict=True)
            rows = [{"target": name, "value": value} for name, value in pairs]
            found.append(Prediction(rows=rows, values=values))
        return found


def make_processor(registry: Registry, name: str) -> Processor:
    """Return the processor of the task with this name. Raises UnknownName."""
    spec = registry.task(name)
    return spec.load_processor()(spec)
