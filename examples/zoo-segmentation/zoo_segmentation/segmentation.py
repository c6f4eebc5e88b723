"""The task: how images and masks become batches, a loss and metrics.

Each item of a split is an image, uint8 (C, H, W), and its mask, uint8 (H, W): the number of each pixel's
class, or 255 where it is unknown. A model maps images (B, C, H, W) to logits (B, K, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import DataError, OptionError, TrainConfig, seed_for
from zoo.interfaces import Batch, Dataset, State, Step, Task
from zoo.plugin import Card, Draws, View, chunks_of, part_of
from zoo_segmentation.augmenting import augmented
from zoo_segmentation.counting import confusion_of, iou_by_class, overlaps
from zoo_segmentation.processor import UNKNOWN

__all__ = ["Segmentation"]

# Pixels evaluated at a time
_EVAL_PIXELS = 64 * 64 * 64


class Segmentation(Task):
    """Each pixel belongs to one of K classes."""

    def example(self, dims: Mapping[str, int]) -> Tensor:
        """Return one image, (1, C, H, W)."""
        return torch.empty(1, dims["in_channels"], dims["image_size"], dims["image_size"])

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel."""
        return _normalized(items, preprocess)

    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Return the images, normalized with the card's mean and standard deviation.

        Raises DataError if their size or their classes differ from the card's.
        """
        hint = f"the model was trained on {card.dataset.name}"
        for key in ("in_channels", "image_size", "num_classes"):
            ours, theirs = card.arguments[key], dataset.dims[key]
            if ours != theirs:
                raise DataError(f"the data has {key}={theirs}, but the model has {key}={ours}", hint=hint)
        if dataset.preprocess["classes"] != card.preprocess["classes"]:
            raise DataError("the data's classes differ from the model's", hint=hint)
        return View(
            dims=dataset.dims,
            preprocess=card.preprocess,
            split=dataset.split,
            fingerprint=dataset.fingerprint,
        )

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the size of the images and their number of channels."""
        return {"size": card.arguments["image_size"], "channels": card.arguments["in_channels"]}

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
        """Yield every training image once, reshuffled each epoch; the last batch may be smaller.

        Raises:
            DataError: there are no images.
            OptionError: `mixup_alpha` is not 0.
        """
        split, fields = dataset.split("train"), config.to_dict()
        if len(split) == 0:
            raise DataError("the training split is empty")
        if fields.get("mixup_alpha"):
            message = "mixup blends one label per image, but a mask has a label for every pixel"
            raise OptionError(f"{message}: mixup_alpha must be 0 (got {fields['mixup_alpha']:g})")
        order = torch.randperm(len(split), generator=_generator(seed, "order", epoch))
        chunks = chunks_of(order, config.batch_size)
        for index in range(start, len(chunks)):
            mine, share = part_of(len(chunks[index]), rank=rank, world_size=world_size)
            images, masks = _fetch(split, chunks[index][mine].tolist())
            places = torch.arange(len(chunks[index]))[mine]
            draws = Draws(_generator(seed, "augment", epoch, index, 0), len(chunks[index]), places)
            images, masks = augmented(images.to(device), masks.to(device), config, draws)
            inputs, targets = _normalized(images, dataset.preprocess), _targets(masks)
            step_seed = seed_for(seed, "step", epoch, index, rank)
            yield Batch(inputs, targets, index, len(chunks), step_seed, share=share)

    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield every image once, in order."""
        size = max(1, _EVAL_PIXELS // preprocess["size"] ** 2)
        starts = range(0, len(items), size)
        for index, first in enumerate(starts):
            images, masks = _fetch(items, range(first, min(first + size, len(items))))
            inputs, targets = _normalized(images.to(device), preprocess), _targets(masks.to(device))
            yield Batch(inputs, targets, index, len(starts), 0)

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the cross-entropy, and the sums: the loss and the confusion matrix of pixels (K, K).

        The loss of an image is the mean over its pixels with a known class, and the loss of a batch is the
        mean over its images, so images with more known pixels do not count more.
        """
        logits: Tensor = model(batch.inputs).float()  # (B, K, H, W)
        known = (batch.targets >= 0).sum((1, 2)).clamp(min=1)  # (B,)
        losses = F.cross_entropy(logits, batch.targets, ignore_index=-1, reduction="none")  # (B, H, W)
        losses = losses.sum((1, 2)) / known  # (B,)
        loss, count, predicted = losses.mean(), len(batch.targets), logits.argmax(1)
        counted = partial(confusion_of, classes=logits.shape[1])
        sums = {"loss": loss.detach() * count, "confusion": counted(batch.targets, predicted)}
        if model.training:
            return Step(loss, sums, count)

        def items() -> dict[str, Tensor]:
            pairs = zip(batch.targets.split(1), predicted.split(1), strict=True)
            return {"loss": losses, "confusion": torch.stack([counted(*pair) for pair in pairs]).float()}

        return Step(loss, sums, count, items=items)

    def views(self, model: nn.Module) -> nn.Module:
        """Return a model that averages the probabilities for each image and its mirror image."""
        return Mirrored(model)

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return an IoU of 1 / K, the maximum when always predicting one class, and a loss of ln K."""
        classes = len(preprocess["classes"])
        return {"iou": 1 / classes, "loss": math.log(classes)} if classes > 1 else {}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return `iou` and `pixel_accuracy` in [0, 1], over all pixels of known class, and the loss in nats.

        `iou` is the mean intersection over union of the classes that are present or predicted, computed from
        one confusion matrix of all pixels.
        """
        return {**overlaps(sums["confusion"]), "loss": sums["loss"] / count}

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Return each class's pixels and IoU, and the numbers of pixels `confusion[class][predicted]`."""
        confusion = sums["confusion"].long()
        ious = iou_by_class(confusion).tolist()
        rows = zip(preprocess["classes"], confusion.sum(1).tolist(), ious, strict=True)
        classes = [{"class": name, "pixels": n, "iou": None if math.isnan(v) else v} for name, n, v in rows]
        return {"classes": classes, "confusion": confusion.tolist()}


class Mirrored(nn.Module):
    """A model that averages the probabilities for an image and for its mirror image, mirrored back."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to log-probabilities (B, K, H, W)."""
        here, mirrored = self.model(images), self.model(images.flip(3)).flip(3)
        return torch.stack([here.log_softmax(1), mirrored.log_softmax(1)]).logsumexp(0) - math.log(2)


def _generator(*position: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(*position))


def _fetch(split: Any, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return images, uint8 (B, C, H, W), and masks, uint8 (B, H, W); -1 stands for an unknown mask."""
    images, masks = zip(*(split[index] for index in indices), strict=True)
    size = images[0].shape[1:]
    masks = [torch.as_tensor(mask).to(torch.uint8).expand(size) for mask in masks]  # -1 becomes 255
    return torch.stack(images), torch.stack(masks)


def _normalized(images: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
    """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel."""
    mean, std = (
        torch.tensor(preprocess[key], device=images.device).view(-1, 1, 1) for key in ("mean", "std")
    )
    return (images / 255 - mean) / std


def _targets(masks: Tensor) -> Tensor:
    """Return masks as int64, with -1 where the class is unknown, as everywhere in zoo."""
    targets = masks.long()
    return targets.masked_fill(masks == UNKNOWN, -1)
