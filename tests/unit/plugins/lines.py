"""A plugin in one file that brings a task of numbers: regression, without labels, classes or images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import (
    ArchitectureSpec,
    DataError,
    DatasetSpec,
    OptionError,
    TaskSpec,
    TrainConfig,
    hookimpl,
    seed_for,
)
from zoo.data.parts import part_of
from zoo.data.views import View
from zoo.files.cards import Card
from zoo.interfaces import Batch, Dataset, Split, State, Step, Task
from zoo.processors import InputReader, Prediction, Processor


class Rows(Processor):
    """Rows of numbers, and a number for each."""

    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        if type(arguments.get("num_features")) is not int:
            raise OptionError("num_features must be an integer")

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        return "rows"

    def input_reader(self, card: Card) -> InputReader:
        features = card.arguments["num_features"]

        def read(source: Any) -> tuple[Any, Any]:
            if isinstance(source, bytes):
                raise OptionError("expected a path or a row of numbers")
            try:
                numbers = source.read_text().split() if isinstance(source, Path) else source
                row = np.array([float(number) for number in numbers], np.float32)
            except ValueError as error:
                raise DataError(f"{source} is not a row of numbers: {error}") from None
            if len(row) != features:
                raise DataError(f"{source} has {len(row)} numbers, but the model reads {features}")
            return row, np.zeros(1, np.float32)

        return InputReader(read=read, what="rows", suffixes=(".txt",))

    def predictions(
        self, outputs: Any, preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        return [Prediction(rows=[{"value": float(row[0])}], values=row) for row in outputs]


class Regression(Task):
    """Numbers (N, F) to numbers (N, 1), by the mean squared error."""

    def example(self, dims: Mapping[str, int]) -> Tensor:
        return torch.empty(1, dims["num_features"])

    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        found, wanted = dataset.dims["num_features"], card.arguments["num_features"]
        if found != wanted:
            raise DataError(f"the data has {found} numbers in a row, but the model reads {wanted}")
        return View(
            dims=dataset.dims,
            preprocess=card.preprocess,
            split=dataset.split,
            fingerprint=dataset.fingerprint,
        )

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
        rows = dataset.split("train")
        draws = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
        chunks = torch.randperm(len(rows), generator=draws).split(config.batch_size)
        for index in range(start, len(chunks)):
            mine, share = part_of(len(chunks[index]), rank=rank, world_size=world_size)
            inputs, targets = _fetch(rows, chunks[index][mine].tolist(), device)
            step_seed = seed_for(seed, "step", epoch, index, rank)
            yield Batch(inputs, targets, index, len(chunks), step_seed, share=share)

    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        starts = range(0, len(items), 100)
        for index, first in enumerate(starts):
            indices = list(range(first, min(first + 100, len(items))))
            yield Batch(*_fetch(items, indices, device), index, len(starts), 0)

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        loss = F.mse_loss(model(batch.inputs).float(), batch.targets)
        return Step(loss, {"loss": loss.detach() * len(batch.targets)}, len(batch.targets))

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        return {}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        return {"loss": sums["loss"] / count, "rmse": (sums["loss"] / count) ** 0.5}


def _fetch(rows: Any, indices: list[int], device: str) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*(rows[index] for index in indices), strict=True)
    return torch.stack(inputs).to(device), torch.stack(targets).to(device)


class Lines(Dataset):
    """Noisy values of a line in several dimensions."""

    def __init__(
        self,
        *,
        features: Annotated[int, Meta(ge=1, le=100)] = 4,
        train_size: Annotated[int, Meta(ge=8, le=10_000)] = 64,
        seed: Annotated[int, Meta(ge=0, le=2**32)] = 0,
    ) -> None:
        draws = torch.Generator().manual_seed(seed)
        slopes = torch.randn(features, 1, generator=draws)
        self._splits = {}
        for name, count in (("train", train_size), ("val", 16), ("test", 32)):
            inputs = torch.randn(count, features, generator=draws)
            targets = inputs @ slopes + 0.1 * torch.randn(count, 1, generator=draws)
            self._splits[name] = torch.utils.data.TensorDataset(inputs, targets)

    @property
    def dims(self) -> Mapping[str, int]:
        return {"num_features": self._splits["train"].tensors[0].shape[1]}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return {}

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._splits["train"].tensors[1].numpy().tobytes()).hexdigest()

    def split(self, name: Split) -> Any:
        return self._splits[name]


class Bent(nn.Module):
    """A line in pieces."""

    def __init__(self, *, num_features: int, width: Annotated[int, Meta(ge=1, le=1_000)] = 64) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(num_features, width), nn.ReLU())
        self.head = nn.Linear(width, 1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.features(rows))  # (B, F) to (B, 1)


@hookimpl
def zoo_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="regression",
            target="lines:Regression",
            summary="A number for each row of numbers",
            dims={"num_features": 4},
            primary_metric="rmse",
            processor="lines:Rows",
            tiny="lines:Lines",
        )
    ]


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    return [DatasetSpec(name="lines", target="lines:Lines", task="regression", summary="Values of a line")]


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="bent",
            target="lines:Bent",
            task="regression",
            summary="A line in pieces",
            training={"epochs": 20, "lr": 0.01, "batch_size": 16},
            landmarks={"head": "head"},
        )
    ]
