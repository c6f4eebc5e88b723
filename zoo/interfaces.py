"""What the code behind a spec must be: classes to subclass, the shape of an architecture, optional abilities.

An architecture is the callable behind a spec's `target`, keyword-only, the task's dims first::

    class ResNet(nn.Module):
        def __init__(self, *, in_channels: int, image_size: int, num_classes: int, depth: int = 20): ...

- classification, multi-label: `model(images (B, C, H, W)) -> logits (B, K)`
- language modeling: `model(tokens (T, B), state=None) -> (logits (T, B, V), state)`, where the state None
  stands for zeros. State is passed in and returned, never kept on the module; the loop detaches it. In
  training mode a model may return a third value, a scalar penalty that is added to the loss.

A language model that reads any number of tokens carries what it knows in its state. A model with a limit,
such as a Transformer with learned positions, declares it as `ArchitectureSpec.context_length`. From
`state=None` on it never gets more tokens than that, in one call or several. It may return None as its state,
and then gets the last tokens again; or a cache of keys and values, which it continues until it is full. It
need not crop either.

What a model, a split or a task may also be able to do is a Protocol: `LoadsPretrained`, `FitsInputs`;
`HasBoxes`, `HasFiles`, `ReadsBatches`; `CarriesState`, `HasViews`. The half of a task that
needs no torch is its `zoo.processors.Processor`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from zoo.config.train_config import Split, TrainConfig
from zoo.files.cards import Card
from zoo.files.exported import Program, Signature
from zoo.processors import Processor
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = [
    "SPLITS",
    "Analysis",
    "Analyzer",
    "Batch",
    "Box",
    "CarriesState",
    "Dataset",
    "Exportable",
    "Exporter",
    "FitsInputs",
    "HasBoxes",
    "HasFiles",
    "HasViews",
    "LoadsPretrained",
    "ReadsBatches",
    "Reference",
    "Split",
    "State",
    "Step",
    "Subject",
    "Task",
    "make_task",
]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
# A hidden state carried from batch to batch: None, a tensor, an int, a float or a bool, or a tuple,
# NamedTuple, list or dict of them, with strings or ints as keys, up to 8 levels deep
State = Any
# x0, y0, x1, y1 in pixels; x1 and y1 are exclusive
Box = tuple[int, int, int, int]


class Dataset(ABC):
    """Data with everything needed to feed a model and evaluate it.

    The callable behind a DatasetSpec's target returns one. Its options are keyword-only and JSON-able; one
    called `root` says where the data lies, not what it is. A card decides only switches, choices, bounded
    numbers and `DatasetSpec.card_options`.
    """

    @property
    @abstractmethod
    def dims(self) -> Mapping[str, int]:
        """The arguments that the data gives a model: those of its task's spec, such as `num_classes`."""

    @property
    @abstractmethod
    def preprocess(self) -> Mapping[str, Any]:
        """JSON data that suffices to feed new input.

        - classification, multi-label: `size`, `mean` and `std` (one per channel), `classes`.
        - language modeling: `tokens` ("char" or "word", as `zoo.tokenize` splits text), `lower`,
          `vocabulary` (number 0 is `<unk>`), `specials` (how many tokens at its start are not text); and
          unless False, `newline_eos` (a newline is the special `<eos>`) and `backwards` (each split is
          reversed).
        - other tasks: what their documentation says.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 of the data as used."""

    @abstractmethod
    def split(self, name: Split) -> Any:
        """Return one split, which may be empty.

        - classification: a map-style dataset of (uint8 image (C, H, W), label), which torch's `DataLoader`
          reads too. It may be a `HasBoxes`, a `HasFiles` or a `ReadsBatches`.
        - multi-label: the same with labels (K,), uint8: 1 for each class that the image belongs to; it may be
          a `HasBoxes`, a `HasFiles` or a `ReadsBatches`.
        - language modeling: a 1-D integer token tensor, possibly memory-mapped.
        - other tasks: a map-style dataset of (input, target).
        """


@runtime_checkable
class HasBoxes(Protocol):
    """A split that knows where the objects are; the maps of analyzers are scored against the boxes."""

    @property
    def boxes(self) -> Sequence[Mapping[int, Sequence[Box]]]:
        """The boxes of each image's objects by the number of their class."""
        ...


@runtime_checkable
class HasFiles(Protocol):
    """A split whose images are files, so that a map can be drawn over an image at its full size."""

    @property
    def files(self) -> Sequence[Path] | None:
        """The file of each image; None if they are not files after all."""
        ...


@runtime_checkable
class ReadsBatches(Protocol):
    """A split of images that reads a batch faster than image by image."""

    def read_batch(self, indices: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """Return the images (B, C, H, W), uint8, and the labels (B,) or (B, K) of some indices, in order."""
        ...


@runtime_checkable
class LoadsPretrained(Protocol):
    """A model whose training starts from weights published elsewhere.

    Users choose them by the option `pretrained` of the architecture (`--model pretrained=NAME`), which is
    `"none"` by default. Its spec declares each name in `ArchitectureSpec.pretrained`, with the mean and
    standard deviation that images are then normalized with, in training and by the card of the result.
    """

    def load_pretrained(self) -> Mapping[str, str] | None:
        """Fill in the weights. Called once, before a training that is given no other weights.

        Returns:
            `{"architecture", "dataset", "sha256"}` of the weights, for the card; None or an empty mapping if
            nothing was loaded.
        """
        ...


@runtime_checkable
class FitsInputs(Protocol):
    """A model whose initial weights depend on the data, such as a whitening layer."""

    def fit_inputs(self, inputs: Tensor) -> None:
        """Initialize from training inputs. Called once, before a training that is given no other weights.

        Args:
            inputs: up to 500 images (B, C, H, W), or tokens (T, B), as the model sees them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's worth of data, on the device and ready for the model.

    Attributes:
        inputs: images (B, C, H, W) or other numbers (B, ...); or tokens (T, B).
        targets: labels (B,); or probabilities (B, K), if labels are blended or an image may have several; or
            whatever a task makes of each item, (B, ...); or the tokens (T, B) to predict, (1, B) if only the
            last position predicts.
        index: position in the epoch, from 0.
        total: batches in this epoch.
        seed: seed of this step's own randomness (dropout).
        fresh: whether the hidden state starts again from zeros.
        share: how much of the whole batch this is, if several processes take a part of it each.
    """

    inputs: Tensor
    targets: Tensor
    index: int
    total: int
    seed: int
    fresh: bool = False
    share: float = 1.0

    @property
    def count(self) -> int:
        """Items to predict: images, whatever is predicted of each, or tokens."""
        return len(self.targets) if self.inputs.is_floating_point() else self.targets.numel()


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one batch.

    Attributes:
        loss: mean over the batch, plus the model's penalty, for `backward()`.
        sums: sums over the items of the batch, such as `loss` and `correct`; they are divided once, by the
            total count. They may be tensors of any shape, such as a count for each class.
        state: hidden state for the next batch; the loop detaches it.
        penalty: the part of `loss` that is the model's own penalty, detached.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    count: int
    state: State = None
    penalty: Tensor | float = 0.0


class Task(ABC):
    """How data becomes batches, a loss and metrics; the loop does not know which task it trains.

    What it can do besides is a Protocol: `CarriesState`, `HasViews`.

    Args:
        spec: what its plugin registers.

    Attributes:
        processor: its half that needs no torch.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.processor: Processor = spec.load_processor()(spec)

    @property
    def name(self) -> str:
        """Its name, as specs and cards say it."""
        return self.spec.name

    @abstractmethod
    def example(self, dims: Mapping[str, int]) -> Tensor:
        """Return one made-up input, to measure what a forward pass costs."""

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return inputs of items (B, ...) as the model reads them: by default, as they are.

        It is what `batches_of` does to the inputs of a split, such as a normalization. An exported model
        does it itself. Models of a task that is a `CarriesState` read tokens, which nothing prepares.

        Args:
            preprocess: as `Dataset.preprocess`.
        """
        return items

    @abstractmethod
    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Return a dataset as the model behind a card reads it.

        A model knows one vocabulary, one normalization and one order of classes: those it was trained with.

        Raises DataError if the data does not fit the model.
        """

    def reading(self, card: Card, dataset: Dataset) -> dict[str, Any]:
        """Return the options that `dataset` must be opened with to be read as the model was trained to."""
        return {}

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the options that other data is opened with to fine-tune the model behind a card.

        They apply where a dataset has an option of that name, and the user does not say otherwise.
        """
        return {}

    @abstractmethod
    def train_batches(
        self,
        dataset: Dataset,
        config: TrainConfig,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: str = "cpu",
    ) -> Iterator[Batch]:
        """Yield an epoch's batches from number `start` on: a pure function of the arguments.

        Args:
            rank: of `world_size` processes, the one whose part of each batch to yield; `zoo.plugin.part_of`
                says which it is. All parts together are the batch of a single process.
        """

    def within(self, config: TrainConfig, context: int) -> dict[str, Any]:
        """Return the training options to change so that no batch is longer than `context` tokens."""
        return {}

    @abstractmethod
    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield every item exactly once, in order, without augmentation.

        Args:
            items: a split, as `Dataset.split` returns it, or inputs of the user's own in the same form.
            preprocess: as `Dataset.preprocess`.
        """

    def eval_batches(self, dataset: Dataset, split: Split, *, device: str = "cpu") -> Iterator[Batch]:
        """Yield every item of a split as `batches_of` does."""
        return self.batches_of(dataset.split(split), dataset.preprocess, device=device)

    @abstractmethod
    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Run the model on a batch.

        Args:
            config: how to train; None to measure, without any refinement such as label smoothing.
        """

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities of the classes from logits (B, K, ...): by default their softmax."""
        return logits.softmax(1)

    def counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return what a split holds, such as `{"images": 5000}`."""
        return {self.processor.unit(dataset.preprocess): len(dataset.split(split))}

    def class_counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return how many items of a split each class has; empty without classes, or if it takes long."""
        return {}

    @abstractmethod
    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of a guess that gives every class, or every token, the same probability."""

    @abstractmethod
    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Turn sums over a whole split into metrics.

        Args:
            sums: a number for each sum that is a scalar, and a float64 tensor for each other.
        """

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Turn sums over a whole split into results that are more than a number, as JSON data.

        None of them replaces what zoo itself says, such as `split`.
        """
        return {}


@runtime_checkable
class CarriesState(Protocol):
    """A task of sequences, whose models carry a hidden state from batch to batch.

    Its batches are time first, (T, B), and its models are called with a state and return one:
    `model(inputs, state) -> (outputs, state)`.
    """

    def lane_batches(self, items: Any, *, lanes: int, steps: int, device: str = "cpu") -> Iterator[Batch]:
        """Yield a sequence as `Task.batches_of` does, read in `lanes` lanes, `steps` tokens at a time."""
        ...


@runtime_checkable
class HasViews(Protocol):
    """A task with test-time augmentation."""

    def views(self, model: nn.Module) -> nn.Module:
        """Return a model that averages the answers of `model` to several views of each input."""
        ...


def make_task(registry: Registry, name: str) -> Task:
    """Return the task of this name. Raises UnknownName."""
    spec = registry.task(name)
    return spec.load()(spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exportable:
    """A model in the form in which it is written to a file: tensors in, tensors out.

    Attributes:
        module: called with the tensors of `inputs` one by one, in order, it returns a tuple of the outputs of
            `signature`, in order. It is on the CPU, in fp32 and in evaluation mode.
        inputs: an example of each input of `signature` by name, with a batch of 2.
        signature: the inputs and outputs; the axis of the batch must be of any size in the file.
        metadata: texts by key to keep in the file.
        trace: returns the program that `torch.export` makes of `module`, for a batch of any size and without
            a trace of this machine. It raises whatever torch does for a model that it cannot trace.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    signature: Signature
    metadata: Mapping[str, str]
    trace: Callable[[], ExportedProgram]


class Exporter(ABC):
    """Writes models in one format. The callable behind an ExporterSpec's target returns one."""

    @abstractmethod
    def write(self, model: Exportable) -> bytes:
        """Return the content of a file. Equal models give equal bytes, with no path or trace of this machine.

        The model stays as it is. An exception means that it cannot be exported; the first line of its message
        says why.
        """

    def start(self, content: bytes, signature: Signature, threads: int) -> Program:
        """Return the program of a content that `write` has returned, to run on a number of threads.

        It maps arrays by name to arrays by name, as the signature has them. It is called in a new process,
        which has the content alone. A format with a reader is run by that, and needs no `start`.
        """
        raise NotImplementedError("a format without a reader needs Exporter.start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A split of the model's data that an analyzer compares its inputs with.

    Attributes:
        batches: those of `Task.eval_batches`; they may be iterated more than once.
        names: the name of each item, in order.
        inputs: the number of each input among the items, if the inputs are some of them; otherwise empty.
    """

    batches: Iterable[Batch]
    names: Sequence[str] = ()
    inputs: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an analyzer needs to know about the model, and what it is asked.

    Attributes:
        landmarks: paths of submodules by landmark; those that the analyzer's spec `needs` are present.
        preprocess: as `Dataset.preprocess`: the names of the classes, or the vocabulary.
        classes: the classes to explain for every image: by number, the most likely one, or the label.
        title: what is analyzed, for the titles of figures: the model and its inputs.
        names: the name of each input, in order, such as a file or `test-00005`; empty for a text.
        reference: the split that the analyzer's spec names; None if it names none.
        context: most tokens that the model reads from an empty state on; 0 is any.
    """

    task: str
    landmarks: Mapping[str, str]
    preprocess: Mapping[str, Any]
    classes: tuple[int | Literal["predicted", "true"], ...] = ("predicted",)
    title: str = ""
    names: tuple[str, ...] = ()
    reference: Reference | None = None
    context: int = 0

    def target_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the classes to explain, (B, K) int64.

        Args:
            logits: (B, classes)
            labels: (B,), -1 if unknown; or (B, classes), above 0 for each label of an image. `true` is the
                most likely of several labels, and the prediction if there is none.
        """
        predicted = logits.argmax(1)
        if labels.ndim == 2:
            held = labels.to(logits.device) > 0
            likeliest = logits.masked_fill(~held, -torch.inf).argmax(1)
            labels = likeliest.where(held.any(1), -1)
        labels = labels.to(predicted)
        named = {"predicted": predicted, "true": torch.where(labels >= 0, labels, predicted)}
        columns = [named[c] if isinstance(c, str) else torch.full_like(predicted, c) for c in self.classes]
        return torch.stack(columns, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What an analyzer found. Every part may be missing, but not all.

    Attributes:
        maps: where the evidence for each class is, (N, K, h, w) for N images and K classes; higher is more.
            For models that give one answer for each image, (N, classes).
        classes: the class of each map, (N, K); required with `maps`.
        logits: (N, classes), if they were computed; otherwise zoo runs the model itself.
        tables: rows of JSON data by the table's name.
        figures: functions that draw an image or a page, by file name with its suffix, such as
            `confusion.png`.
        details: JSON data on how it was computed, such as the layer that was used; none of them replaces what
            zoo itself says.
        text: what a terminal shows, colors as ANSI codes.
    """

    maps: Tensor | None = None
    classes: Tensor | None = None
    logits: Tensor | None = None
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    figures: Mapping[str, Callable[[], bytes]] = field(default_factory=dict[str, Callable[[], bytes]])
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    text: str = ""


class Analyzer(ABC):
    """Looks inside a model and leaves parameters, gradients, modes, hooks and random state unchanged.

    The callable behind an AnalyzerSpec's target returns one. Its options are keyword-only and JSON-able.
    `zoo.models.hooks` has what keeps the promise, `untouched` and `stored`; `zoo.files.style` has the look of
    figures.
    """

    @abstractmethod
    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Run `model` on some batches, which may be iterated more than once, and return the result.

        Batches are those of `Task.eval_batches`: images as the model sees them with labels, -1 if unknown;
        or tokens and the tokens that follow, state carried from batch to batch.
        """
