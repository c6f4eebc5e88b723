"""What a plugin's code must be: Dataset and Analyzer to subclass, and the shape of an architecture.

An architecture is the callable behind a spec's `target`, keyword-only, the task's dims first::

    class ResNet(nn.Module):
        def __init__(self, *, in_channels: int, image_size: int, num_classes: int, depth: int = 20): ...

- classification: `model(images (B, C, H, W)) -> logits (B, K)`
- language modelling: `model(tokens (T, B), state=None) -> (logits (T, B, V), state)`, where the state None
  means zeros. State is handed in and back, never kept on the module; the loop detaches it. In training mode
  a model may hand back a third thing, a scalar penalty in nats that is added to the loss.

A model whose training starts from published weights has a method `load_pretrained()` that fills them in. It
is called once, before a training that is given no other weights, and not when a file is loaded. It returns
`{"architecture", "dataset", "sha256"}` for the card, or an empty one where there is nothing to load.

A model whose first weights follow from the data, such as a layer that whitens it, has a method
`fit_inputs(inputs)`. It is called once, before a training that is given no other weights, with some training
inputs as the model sees them: up to 500 images (B, C, H, W), or tokens (T, B).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.registry.specs import Recipe, TaskName

__all__ = ["Analysis", "Analyzer", "Batch", "Dataset", "Split", "State", "Step", "Subject", "Task"]

Split = Literal["train", "val", "test"]
State = Any
"""What a model carries from batch to batch: None, a tensor, or a nested tuple or list of them."""


class Dataset(ABC):
    """Data with everything needed to feed and judge a model.

    The callable behind a DatasetSpec's target returns one. Its options are keyword-only and JSON-able; one
    called `root` says where data lies, not what it is, and so is kept out of cards.
    """

    @property
    @abstractmethod
    def dims(self) -> Mapping[str, int]:
        """The arguments data gives to a model: `{"in_channels", "image_size", "num_classes"}` or
        `{"vocab_size"}`."""

    @property
    @abstractmethod
    def preprocess(self) -> Mapping[str, Any]:
        """JSON data enough to feed new input.

        - classification: `size`, `mean` and `std` (one for each channel), `classes`.
        - language modelling: `tokens` ("char" or "word", as `zoo.tokenize` cuts them), `lower`, `vocabulary`
          (number 0 is `<unk>`), `specials` (how many at its beginning are not text); and where they are not
          False, `newline_eos` (a newline is the special `<eos>`) and `backwards` (each split is reversed).
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 of the data as used."""

    @abstractmethod
    def split(self, name: Split) -> Any:
        """Return one split, which may be empty.

        - classification: a map-style dataset of (uint8 image (C, H, W), label); it may define
          `__getitems__(indices)` to return a whole batch, (uint8 images (B, C, H, W), labels (B,)). Where it
          is known where objects are, `boxes` holds for each image a list of (x0, y0, x1, y1) in pixels, x1
          and y1 outside; the maps of analyzers are scored by them. Where images are files, `names` holds
          what each is called.
        - language modelling: a 1-D integer token tensor, possibly memory-mapped.
        """


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's worth of data, on the device and ready for the model."""

    inputs: Tensor
    """Images (B, C, H, W), or tokens (T, B)."""
    targets: Tensor
    """Labels (B,) or, blended, probabilities (B, K); or the tokens (T, B) to predict; (1, B) where only the
    last position predicts."""
    index: int
    """Position in the epoch, from 0."""
    total: int
    """Batches in this epoch."""
    seed: int
    """What this step's own randomness (dropout) is drawn from."""
    fresh: bool = False
    """True where carried state must start again from zeros."""

    @property
    def count(self) -> int:
        """Items to predict: images or tokens."""
        return len(self.targets) if self.targets.is_floating_point() else self.targets.numel()


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch produced."""

    loss: Tensor
    """Mean over the batch, a model's penalty added, for `backward()`."""
    sums: Mapping[str, Tensor]
    """Sums over the batch's items, such as `loss` and `correct`; divided once, by the summed count. Those
    that are no scalars are for `Task.details`."""
    count: int
    state: State = None
    """Carried to the next batch, detached."""
    penalty: Tensor | float = 0.0
    """The part of `loss` that the model adds to punish itself, detached."""


class Task(ABC):
    """How data becomes batches, a loss and metrics. Two final subclasses; the loop never asks which."""

    name: ClassVar[TaskName]
    headline: ClassVar[str]
    """The metric people look at first."""
    headline_grows: ClassVar[bool]
    """Whether more of it is better."""

    @abstractmethod
    def train_batches(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
    ) -> Iterator[Batch]:
        """Yield an epoch's batches from number `start` on: a pure function of the arguments."""

    @abstractmethod
    def eval_batches(self, dataset: Dataset, split: Split, *, device: str = "cpu") -> Iterator[Batch]:
        """Yield every item of a split exactly once, in order, unchanged."""

    @abstractmethod
    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, label_smoothing: float = 0.0
    ) -> Step:
        """Run the model on a batch."""

    @abstractmethod
    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return the name of what is counted in data preprocessed so, such as `images`."""

    @abstractmethod
    def metrics(
        self, sums: Mapping[str, float], count: int, preprocess: Mapping[str, Any]
    ) -> dict[str, float]:
        """Turn sums over a whole split into metrics."""

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Turn sums over a whole split into what is more than a number, as JSON data."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an analyzer is told of the model before it, and what it is asked."""

    task: TaskName
    landmarks: Mapping[str, str]
    """Paths of submodules by what they are; those that the analyzer's spec `needs` are there."""
    preprocess: Mapping[str, Any]
    """As `Dataset.preprocess`: the names of the classes, or the vocabulary."""
    classes: tuple[int | Literal["predicted", "true"], ...] = ("predicted",)
    """The classes asked about for every image: by number, the one the model predicts, or the label."""

    def ask(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the classes asked about, (B, K) int64.

        Args:
            logits: (B, classes)
            labels: (B,), -1 where not known; `true` is the prediction there.
        """
        predicted = logits.argmax(1)
        labels = labels.to(predicted)
        true = torch.where(labels >= 0, labels, predicted)
        columns = [
            {"predicted": predicted, "true": true}[asked]
            if isinstance(asked, str)
            else torch.full_like(predicted, asked)
            for asked in self.classes
        ]
        return torch.stack(columns, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What an analyzer found. Every part may be missing, but not all."""

    maps: Tensor | None = None
    """Where each class was seen, (N, K, h, w) for N images and K classes asked about: more is more."""
    classes: Tensor | None = None
    """Which class each map is of, (N, K); needed with `maps`."""
    logits: Tensor | None = None
    """(N, classes), if they were computed; otherwise zoo asks the model itself."""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    """Rows of JSON data by the table's name."""
    figures: Mapping[str, Callable[[], bytes]] = field(default_factory=dict[str, Callable[[], bytes]])
    """What draws a picture or a page, by file name, such as `confusion.png`."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON data on how it was found, such as the layer that was looked at."""
    text: str = ""
    """What a terminal shows, colours as ANSI codes."""


class Analyzer(ABC):
    """Looks inside a model and leaves parameters, gradients, modes, hooks and random state as found.

    The callable behind an AnalyzerSpec's target returns one. Its options are keyword-only and JSON-able.
    `zoo.models.hooks` has what keeps the promise: `untouched` and `stored`.
    """

    @abstractmethod
    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Look at what `model` makes of some batches, which may be walked through more than once.

        Batches are those of `Task.eval_batches`: images as the model sees them with labels, -1 where a label
        is not known; or tokens and those that follow, state carried from batch to batch.
        """
