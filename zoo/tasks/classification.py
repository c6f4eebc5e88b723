"""Classification: images in batches, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.augment import augment, mixup
from zoo.errors import DataError
from zoo.interfaces import Batch, Dataset, Split, State, Step, Task
from zoo.seeds import seed_for
from zoo.specs import Recipe, TaskName

__all__ = ["Classification"]

_EVAL_BATCH = 500


class Classification(Task):
    """Each image has one of K labels."""

    name: ClassVar[TaskName] = "classification"
    headline: ClassVar[str] = "accuracy"

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
        """Yield the training images once, in a new order each epoch; the last batch may be smaller."""
        images = dataset.split("train")
        if len(images) < world:
            raise DataError("the training split is empty")
        order = torch.randperm(len(images), generator=_generator(seed, "order", epoch))[rank::world]
        chunks = _chunks(order, recipe.batch_size)
        for index in range(start, len(chunks)):
            inputs, labels = _fetch(images, chunks[index].tolist())
            draws = _generator(seed, "augment", epoch, index, rank)
            inputs = augment(inputs.to(device, non_blocking=True), recipe.augment, draws)
            inputs, targets = _normalise(inputs, dataset.preprocess), labels.to(device, non_blocking=True)
            if recipe.mixup:
                inputs, targets = mixup(
                    inputs,
                    targets,
                    classes=dataset.dims["num_classes"],
                    alpha=recipe.mixup,
                    seed=seed_for(seed, "mixup", epoch, index, rank),
                )
            yield Batch(inputs, targets, index, len(chunks), seed_for(seed, "step", epoch, index, rank))

    def eval_batches(self, dataset: Dataset, split: Split, *, device: str = "cpu") -> Iterator[Batch]:
        """Yield a split in order, every image once."""
        images = dataset.split(split)
        starts = range(0, len(images), _EVAL_BATCH)
        for index, first in enumerate(starts):
            inputs, labels = _fetch(images, range(first, min(first + _EVAL_BATCH, len(images))))
            inputs = _normalise(inputs.to(device), dataset.preprocess)
            yield Batch(inputs, labels.to(device), index, len(starts), 0)

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, label_smoothing: float = 0.0
    ) -> Step:
        """Return cross-entropy, summed loss and the number of correct images."""
        logits: Tensor = model(batch.inputs)  # (B, K)
        logits = logits.float()
        loss = F.cross_entropy(logits, batch.targets, label_smoothing=label_smoothing)
        count = len(batch.targets)
        labels = batch.targets.argmax(1) if batch.targets.is_floating_point() else batch.targets
        correct = (logits.detach().argmax(1) == labels).sum()
        return Step(loss, {"loss": loss.detach() * count, "correct": correct}, count)

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return `images`."""
        return "images"

    def metrics(
        self, sums: Mapping[str, float], count: int, preprocess: Mapping[str, Any]
    ) -> dict[str, float]:
        """Return accuracy in [0, 1] and loss in nats per image."""
        return {"accuracy": sums["correct"] / count, "loss": sums["loss"] / count}


def _chunks(order: Tensor, size: int) -> list[Tensor]:
    """Cut an order into batches. A last one of a single image joins the one before: BatchNorm needs two."""
    chunks = list(order.split(size))
    if size > 1 and len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


def _generator(*position: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(*position))


def _fetch(images: Any, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    if hasattr(images, "__getitems__"):  # torch's own protocol for a whole batch at once
        return images.__getitems__(list(indices))
    items = [images[index] for index in indices]
    return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def _normalise(images: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
    """uint8 (B, C, H, W) to float, (x / 255 - mean) / std per channel, channels last."""
    mean = torch.tensor(preprocess["mean"], device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(preprocess["std"], device=images.device).view(1, -1, 1, 1)
    images = images.contiguous(memory_format=torch.channels_last)
    return images * (1 / (255 * std)) - mean / std
