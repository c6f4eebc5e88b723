"""The task: how images and masks become batches, a loss and metrics.

Each item of a split is an image, uint8 (C, H, W), and its mask, uint8 (H, W): the number of each pixel's
class, or 255 where it is unknown. A model maps images (B, C, H, W) to logits (B, K, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import DataError, OptionError, TrainConfig
from zoo.interfaces import Batch, Dataset, State, Step
from zoo.plugin import Card, Draws, ItemTask
from zoo_segmentation.augmenting import augmented
from zoo_segmentation.counting import confusion_of, iou_by_class, overlaps
from zoo_segmentation.processor import UNKNOWN

__all__ = ["Segmentation"]

# Pixels evaluated at a time
_EVAL_PIXELS = 64 * 64 * 64


class Segmentation(ItemTask):
    """Each pixel belongs to one of K classes."""

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel."""
        mean, std = (
            torch.tensor(preprocess[key], device=items.device).view(-1, 1, 1) for key in ("mean", "std")
        )
        return (items / 255 - mean) / std

    def prepare_targets(self, targets: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return masks as int64, with -1 where the class is unknown; -1 stands for an unknown mask."""
        if targets.ndim == 1:
            size = preprocess["size"]
            targets = targets[:, None, None].expand(-1, size, size)
        return targets.long().masked_fill(targets == UNKNOWN, -1)

    def augment(
        self, batches: Iterator[tuple[Tensor, Tensor, Draws]], dataset: Dataset, config: TrainConfig
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Apply the augmentations of a training to images and masks alike, and prepare both.

        Raises OptionError if `mixup_alpha` is not 0.
        """
        if alpha := config.to_dict().get("mixup_alpha"):
            message = "mixup blends one label per image, but a mask has a label for every pixel"
            raise OptionError(f"{message}: mixup_alpha must be 0 (got {alpha:g})")
        for images, masks, draws in batches:
            images, masks = augmented(images, masks, config, draws)
            yield self.prepare(images, dataset.preprocess), self.prepare_targets(masks, dataset.preprocess)

    def renumbered(self, split: Any, numbers: Tensor, count: int) -> Any:
        """Raise DataError: masks are not renumbered."""
        raise DataError("the classes of the data differ from those of the model, or their order does")

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the size of the images and their number of channels."""
        return {"size": card.arguments["image_size"], "channels": card.arguments["in_channels"]}

    def eval_batch_size(self, preprocess: Mapping[str, Any]) -> int:
        """Return 64 for images of 64×64 pixels, and fewer for larger ones."""
        return max(1, _EVAL_PIXELS // preprocess["size"] ** 2)

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
