"""Interfaces of the code that specs refer to: base classes, architecture signatures, optional protocols.

An architecture is the callable that a spec's `target` names; its arguments are keyword-only and begin with
the task's dims::

    class ResNet(nn.Module):
        def __init__(self, *, in_channels: int, image_size: int, num_classes: int, depth: int = 20): ...

- classification, multi-label: `model(images (B, C, H, W)) -> logits (B, K)`
- language modeling: `model(tokens (T, B), state=None) -> (logits (T, B, V), state)`, where a state of None
  means zeros. The state is passed in and returned, never stored in the module; the training loop detaches it.
  In training mode a model may return a third value, a scalar penalty that is added to the loss.

A language model that can read any number of tokens represents the tokens in its state. A model that can read
only a limited number of tokens, such as a Transformer with learned positions, declares this limit as
`ArchitectureSpec.context_length`. After `state=None`, zoo never passes it more tokens than the limit, in one
call or in several. If such a model returns None as its state, zoo passes the last tokens again. If it returns
a cache of keys and values, zoo passes the cache back until the cache is full. In both cases, the model does
not need to crop its input.

The optional abilities of a model, a split or a task are Protocols: `LoadsPretrained`, `FitsInputs`,
`HasLandmarks`; `HasBoxes`, `HasFiles`, `HasShards`, `ReadsBatches`; `CarriesState`, `HasViews`. The part of a
task that does not need torch is its `zoo.processors.Processor`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from zoo.config.train_config import SPLITS, Split, TrainConfig
from zoo.errors import OptionError
from zoo.files.cards import Card
from zoo.files.exported import Program, Signature
from zoo.processors import Processor
from zoo.registry.registry import Registry
from zoo.registry.specs import Landmark, TaskSpec

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
    "HasLandmarks",
    "HasShards",
    "HasViews",
    "LoadsPretrained",
    "LossFunction",
    "Metric",
    "ReadsBatches",
    "Reference",
    "Split",
    "State",
    "Step",
    "Subject",
    "Task",
    "make_task",
]

# A hidden state carried from batch to batch: None, a tensor, an int, a float or a bool, or a tuple,
# NamedTuple, list or dict of them, with strings or ints as keys, up to 8 levels deep
State = Any
# x0, y0, x1, y1 in pixels; x1 and y1 are exclusive
Box = tuple[int, int, int, int]


class Dataset(ABC):
    """A dataset, with everything that is needed to train and evaluate a model.

    The target of a DatasetSpec names a callable that returns a Dataset. The options of this callable are
    keyword-only and JSON-serializable. An option called `root` names the folder that contains the data; its
    value must not affect the content of the dataset. The card of a weights file can set only Boolean options,
    options with fixed choices, numbers with a declared minimum and maximum, and the options in
    `DatasetSpec.card_options`.
    """

    @property
    @abstractmethod
    def dims(self) -> Mapping[str, int]:
        """The model's arguments that depend on the data, such as `num_classes`; see `TaskSpec.dims`."""

    @property
    @abstractmethod
    def preprocess(self) -> Mapping[str, Any]:
        """JSON data with everything that is needed to prepare new inputs.

        - classification, multi-label: `size`, `mean` and `std` (one per channel), `classes`.
        - language modeling: `tokens` ("char", "word" or the full name of a plugin's tokenizer, as for
          `zoo.tokenize`), `lower`, `vocabulary` (token 0 is `<unk>`), `specials` (the number of tokens at the
          start of the vocabulary that are not text); and, only if True, `newline_eos` (a newline is the
          special token `<eos>`) and `backwards` (each split is reversed).
        - other tasks: see their documentation.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 hash of the data after all options are applied."""

    @abstractmethod
    def split(self, name: Split) -> Any:
        """Return one split, which may be empty.

        - classification: a map-style dataset of (uint8 image (C, H, W), label), which torch's `DataLoader`
          can also read. It can implement `HasBoxes`, `HasFiles` and `ReadsBatches`.
        - multi-label: the same, but with labels (K,), uint8, which are 1 for each class that the image
          belongs to. It can implement the same protocols.
        - language modeling: a 1-D tensor of integer tokens, possibly memory-mapped.
        - other tasks: a map-style dataset of (input, target).
        """


@runtime_checkable
class HasBoxes(Protocol):
    """A split with bounding boxes of objects, which are used to score analyzers' heat maps."""

    @property
    def boxes(self) -> Sequence[Mapping[int, Sequence[Box]]]:
        """For each image, the bounding boxes of its objects, by class number."""
        ...


@runtime_checkable
class HasFiles(Protocol):
    """A split whose images are stored as files, so that overlays can be drawn at full resolution."""

    @property
    def files(self) -> Sequence[Path] | None:
        """The path of each image file; None if the images are not files."""
        ...


@runtime_checkable
class ReadsBatches(Protocol):
    """A split that can read a batch of images at once, which is faster than reading them one by one."""

    def read_batch(self, indices: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """Return the images (B, C, H, W), uint8, and the labels (B,) or (B, K) at `indices`, in order.

        Args:
            indices: a list of ints.
        """
        ...


@runtime_checkable
class HasShards(Protocol):
    """A split whose items are stored in shards, such as tar files, and are fast to read shard by shard.

    In training, the shards are shuffled, then the items of a few shards together. If the split implements
    `ReadsBatches`, a thread calls `read_batch` for the next batch while the model trains on the current one.
    """

    @property
    def shard_lengths(self) -> Sequence[int]:
        """The number of items in each shard, in the order of the items."""
        ...


@runtime_checkable
class LoadsPretrained(Protocol):
    """A model that can start training from weights published elsewhere.

    Users choose the weights with the architecture's option `pretrained` (`--model pretrained=NAME`), which
    is `"none"` by default. The spec declares each name in `ArchitectureSpec.pretrained`, with the mean and
    standard deviation used to normalize images. The card stores these values, so that images are normalized
    in the same way after training.
    """

    def load_pretrained(self) -> Mapping[str, str] | None:
        """Load the weights. Called once before training, unless training starts from a weights file.

        Returns:
            The `architecture`, `dataset` and `sha256` of the weights, for the card; None or an empty mapping
            if nothing was loaded.
        """
        ...


@runtime_checkable
class FitsInputs(Protocol):
    """A model whose initial weights depend on the data, such as a model with a whitening layer."""

    def fit_inputs(self, inputs: Tensor) -> None:
        """Initialize the model from training inputs.

        Called once before training, unless training starts from a weights file.

        Args:
            inputs: up to 500 images (B, C, H, W), or tokens (T, B), in the form that the model expects.
        """
        ...


@runtime_checkable
class HasLandmarks(Protocol):
    """A model that finds its own landmarks, such as a model that another library builds."""

    def find_landmarks(self) -> Mapping[Landmark, str]:
        """Return the paths of submodules, in addition to those in `ArchitectureSpec.landmarks`."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """The data for one step, on the device and ready for the model.

    Attributes:
        inputs: images (B, C, H, W), other numeric inputs (B, ...), or tokens (T, B).
        targets: labels (B,); probabilities (B, K), for blended labels or several labels per image; targets of
            other tasks, (B, ...); or the tokens to predict, (T, B), or (1, B) if only the last position makes
            a prediction.
        index: position of the batch in the epoch, starting at 0.
        total: number of batches in this epoch.
        seed: random seed for operations in this step, such as dropout.
        fresh: whether the hidden state is reset to zeros before this batch.
        share: fraction of the whole batch that this process holds, in distributed training. `train_batches`
            sets it, and zoo multiplies the loss by it; `Task.step` does not use it.
        weights: weight of each item in the loss, (B,); None if all items have the same weight. If
            `train_batches` sets it, `Task.step` must multiply the loss of each item by it, then average.
        preprocess: the dataset's `Dataset.preprocess`, for losses and metrics in the units of the data.
    """

    inputs: Tensor
    targets: Tensor
    index: int
    total: int
    seed: int
    fresh: bool = False
    share: float = 1.0
    weights: Tensor | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def count(self) -> int:
        """The number of items to predict: images, or tokens."""
        return len(self.targets) if self.inputs.is_floating_point() else self.targets.numel()


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one batch.

    Attributes:
        loss: mean over the batch, plus the model's penalty, for `backward()`.
        sums: sums over the items of the batch, such as `loss` and `correct`. They are added up over all
            batches, and divided by the total count only at the end. They may be tensors of any shape, such as
            a count for each class.
        count: number of items to predict, as in `Batch.count`.
        state: hidden state for the next batch; the loop detaches it.
        penalty: the model's detached penalty, which is part of `loss`.
        items: function that returns the contribution of each item to every sum, by name, from which
            confidence intervals are computed: numbers (B, ...) that add up to the sum; or, for counts, int64
            positions (B, ...) in the flattened sum, each of which counts once. For sequences, the values are
            time-first, (T, B, ...). A metric that shares its name with Boolean values must be the proportion
            of items for which they are true. Only needed in evaluation mode.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    count: int
    state: State = None
    penalty: Tensor | float = 0.0
    items: Callable[[], Mapping[str, Tensor]] | None = None


@runtime_checkable
class Metric(Protocol):
    """A metric for an existing task, computed from sums over all items. See `zoo.MetricSpec`.

    Both methods can also have the keyword-only argument `preprocess`, as in `Dataset.preprocess`, and `items`
    the keyword-only argument `inputs`, as in `Batch`. For example, a regression task scales its targets; with
    `preprocess`, a metric can undo that.
    """

    def items(self, outputs: Tensor, targets: Tensor, /) -> Mapping[str, Tensor]:
        """Return the contribution of each item to each sum, by name: (B, ...); for sequences, (T, B, ...).

        Args:
            outputs: the model's outputs, in fp32: logits (B, K), or (T, B, V) for sequences.
            targets: as in `Batch`.
        """
        ...

    def value(self, sums: Mapping[str, Any], count: int, /) -> float:
        """Return the metric for the sums over some items: numbers, or tensors on the CPU."""
        ...


@runtime_checkable
class LossFunction(Protocol):
    """A loss that training minimizes in place of a task's own. See `zoo.MetricSpec`."""

    def losses(self, outputs: Tensor, targets: Tensor, /) -> Tensor:
        """Return the loss of each item, (B,) or (T, B), with gradients.

        The arguments are as in `Metric.items`, including `preprocess` and `inputs`.
        """
        ...


class Task(ABC):
    """Turns data into batches, a loss and metrics. The training loop uses tasks only through this interface.

    Optional abilities are Protocols: `CarriesState`, `HasViews`.

    Args:
        spec: the spec that the task's plugin registers.

    Attributes:
        processor: the part of the task that does not need torch.
        context: number of tokens that each prediction of an evaluation is based on, or at most for some; 0 if
            it is based on all preceding tokens, or if the items are no sequences.
    """

    context: int = 0

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.processor: Processor = spec.load_processor()(spec)

    @property
    def name(self) -> str:
        """The task's name in specs and cards."""
        return self.spec.name

    @abstractmethod
    def example(self, dims: Mapping[str, int]) -> Tensor:
        """Return one synthetic input, used to measure the cost of a forward pass."""

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Prepare the inputs of items (B, ...) for the model, for example by normalizing them.

        The default returns the inputs unchanged. `batches_of` prepares the inputs of a split in the same way,
        and an exported model includes this step. Models for a `CarriesState` task read tokens, which need no
        preparation.

        Args:
            preprocess: as in `Dataset.preprocess`.
        """
        return items

    @abstractmethod
    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Adapt a dataset to the model that a card describes.

        A model works only with the vocabulary, the normalization and the class order that it was trained
        with.

        Raises DataError if the data is not compatible with the model.
        """

    def reading(self, card: Card, dataset: Dataset) -> dict[str, Any]:
        """Return the options that `dataset` must be opened with to be compatible with the model."""
        return {}

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the options for opening a different dataset to fine-tune the model that a card describes.

        An option applies only if the dataset has an option of that name and the user does not set it.
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
        """Yield the batches of an epoch, starting with batch `start`. They depend only on the arguments.

        Args:
            rank: number of the process, from 0 to `world_size` - 1; only its part of each batch is yielded
                (see `zoo.plugin.part_of`). Together, the parts of all processes form the batch that a single
                process would yield.
        """

    def within(self, config: TrainConfig, context: int) -> dict[str, Any]:
        """Return changes to training options that limit the sequences in batches to `context` tokens."""
        return {}

    def as_trained(self, training: Mapping[str, Any]) -> Self:
        """Return the task in the form in which a model with these training options is evaluated and used.

        By default, this is the task itself. A task whose models may learn from short pieces of a sequence
        returns a copy that evaluates on such pieces; see `context` and `reader`.

        Args:
            training: training options by name, as in a card.

        Raises OptionError for invalid options.
        """
        return self

    def with_context(self, context: int) -> Self:
        """Return a copy of the task that bases each prediction on `context` tokens; 0 for all of them.

        Raises OptionError if the items are no sequences.
        """
        raise OptionError(f"{self.name} does not support a context: only language models do")

    def reader(self, model: nn.Module) -> nn.Module:
        """Return a model that reads sequences of any length as the task evaluates `model`."""
        return model

    @abstractmethod
    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield every item exactly once, in order, without augmentation.

        Args:
            items: a split, as `Dataset.split` returns it, or the user's own inputs in the same form.
            preprocess: as in `Dataset.preprocess`.
        """

    def eval_batches(self, dataset: Dataset, split: Split, *, device: str = "cpu") -> Iterator[Batch]:
        """Yield every item of a split in the same way as `batches_of`."""
        return self.batches_of(dataset.split(split), dataset.preprocess, device=device)

    @abstractmethod
    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Run the model on a batch.

        Args:
            config: training configuration; None for evaluation, which does not use training techniques such
                as label smoothing.
        """

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the class probabilities for logits (B, K, ...); by default, the softmax of the logits."""
        return logits.softmax(1)

    def counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return item counts for a split, such as `{"images": 5000}`."""
        return {self.processor.unit(dataset.preprocess): len(dataset.split(split))}

    def class_counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return the number of items per class in a split; {} if there are no classes or counting is slow."""
        return {}

    @abstractmethod
    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return some metrics of a random baseline, in which every class or token is equally likely.

        If targets are numbers, they are the metrics of a model that always predicts the mean. An empty dict
        means that there is no baseline.
        """

    @abstractmethod
    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Compute metrics from sums over a whole split.

        Args:
            sums: a number for each scalar sum, and a float64 tensor for each other sum.
        """

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Compute non-scalar results from sums over a whole split, and return them as JSON data.

        Keys that zoo itself uses, such as `split`, are ignored.
        """
        return {}


@runtime_checkable
class CarriesState(Protocol):
    """A task on sequences, whose models carry a hidden state from batch to batch.

    Its batches are time-first, (T, B). Its models accept a state and return the next state:
    `model(inputs, state) -> (outputs, state)`.
    """

    def lane_batches(self, items: Any, *, lanes: int, steps: int, device: str = "cpu") -> Iterator[Batch]:
        """Yield batches with `steps` tokens from each of `lanes` parallel streams of a sequence."""
        ...


@runtime_checkable
class HasViews(Protocol):
    """A task with test-time augmentation."""

    def views(self, model: nn.Module) -> nn.Module:
        """Return a model that averages the predictions of `model` for several views of each input."""
        ...


def make_task(registry: Registry, name: str) -> Task:
    """Return the task with this name. Raises UnknownName."""
    spec = registry.task(name)
    return spec.load()(spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exportable:
    """A model ready for export: a module that maps tensors to tensors.

    Attributes:
        module: module that accepts the tensors of `inputs` as positional arguments, and returns a tuple of
            the outputs that `signature` lists, in order. It is on the CPU, in fp32 and in evaluation mode.
        inputs: an example of each input in `signature`, by name, with a batch size of 2.
        signature: the inputs and outputs; the file must accept any batch size.
        metadata: strings to store in the file, by key.
        trace: function that returns the program that `torch.export` creates from `module`. The program
            accepts any batch size and does not contain paths from this machine. The function raises torch's
            error if the model cannot be traced.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    signature: Signature
    metadata: Mapping[str, str]
    trace: Callable[[], ExportedProgram]


class Exporter(ABC):
    """Writes models in one format.

    The target of an ExporterSpec names a callable that returns an Exporter. Its keyword-only arguments are
    the options that the user sets; the metadata of the file records them.
    """

    @abstractmethod
    def write(self, model: Exportable) -> bytes:
        """Return the content of the exported file.

        Identical models must produce identical bytes, without any path from this machine. This method
        must not change the model. An exception means that the model cannot be exported; the first line of its
        message gives the reason.
        """

    def start(self, content: bytes, signature: Signature, threads: int) -> Program:
        """Return the program in `content` (the result of `write`), ready to run on `threads` threads.

        The program maps input arrays by name to output arrays by name, as in the signature. zoo calls `start`
        in a new process that has access only to the content, on an exporter with default options. If the
        format has a reader, the reader runs the program, and `start` is not needed.
        """
        raise NotImplementedError("a format without a reader must implement Exporter.start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A split of the model's data, with which an analyzer compares its inputs.

    Attributes:
        batches: the batches of `Task.eval_batches`, which can be iterated more than once.
        names: the name of each item, in order.
        inputs: the index of each input in the split, if the inputs come from the split; otherwise empty.
    """

    batches: Iterable[Batch]
    names: Sequence[str] = ()
    inputs: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Information for an analyzer about the model and the request.

    Attributes:
        task: name of the model's task.
        landmarks: paths of submodules by landmark, including all landmarks in the `needs` of the analyzer's
            spec.
        preprocess: as in `Dataset.preprocess`, with the names of the classes or the vocabulary.
        classes: the classes to explain for every image; each is a class number, `predicted` or `true`.
        title: description of the model and its inputs, for figure titles.
        names: the name of each input, in order, such as a file or `test-00005`; empty for text.
        reference: the split that the analyzer's spec requests; None if it does not request one.
        context: maximum number of tokens that the model can read from an empty state; 0 for no limit.
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
            labels: (B,), -1 if unknown; or (B, classes), above 0 for each label of an image. The class `true`
                is the most likely label if an image has several, and the prediction if it has none.
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
    """The results of an analyzer. Every part is optional, but at least one is required.

    Attributes:
        maps: heat maps, (N, K, h, w) for N images and K classes; higher values mean more evidence for the
            class. They require a model with one prediction per image, (N, classes).
        classes: the class of each map, (N, K); required with `maps`.
        logits: (N, classes), if they were computed; otherwise zoo runs the model itself.
        tables: rows of JSON data, by table name.
        figures: functions that return the bytes of an image or HTML page, by file name, such as
            `confusion.png`.
        details: JSON data about the computation, such as the layer used; keys that zoo itself uses are
            ignored.
        text: text for a terminal, with ANSI colors.
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
    """Analyzes a model without changing its parameters, gradients, modes or hooks, or the random state.

    The target of an AnalyzerSpec names a callable that returns an Analyzer. The options of this callable are
    keyword-only and JSON-serializable. Use `zoo.plugin.untouched` to leave the model unchanged, and
    `zoo.files.style` to style figures.
    """

    @abstractmethod
    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Run `model` on batches, which can be iterated more than once, and return the result.

        The batches have the form of those from `Task.eval_batches`: preprocessed images with labels (-1 if
        unknown); or tokens with the tokens that follow them, and a state that is carried from batch to batch.
        """
