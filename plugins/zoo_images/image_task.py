"""What is special to images in a task: reading them from files, augmenting, blending and normalizing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo import AugmentationSpec, TrainConfig
from zoo.interfaces import Dataset
from zoo.plugin import Card, Draws, ItemTask, SpecError, augmentations, moved
from zoo_images.fields import ImageFields
from zoo_images.file_split import FileSplit
from zoo_images.image_set import ImageSplit
from zoo_images.mixing import mixup
from zoo_images.shards import ShardSplit

# Pixels evaluated at a time: 500 images of up to 64×64, fewer of larger ones
_EVAL_PIXELS = 500 * 64 * 64


class ImageTask(ItemTask):
    """Base class of the image tasks: everything that does not depend on the kind of labels."""

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel."""
        return _normalize(items, preprocess)

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the size of the images and their number of channels."""
        return {"size": card.arguments["image_size"], "channels": card.arguments["in_channels"]}

    def read(
        self, split: Any, wanted: Sequence[Sequence[int]], *, keep_on: str = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images and labels of each batch; files are read ahead, and tensors kept on a GPU."""
        if isinstance(split, FileSplit):
            return split.batches(wanted)
        return super().read(split.on(keep_on) if isinstance(split, ImageSplit) else split, wanted)

    def augment(
        self, batches: Iterator[tuple[Tensor, Tensor, Draws]], dataset: Dataset, config: TrainConfig
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Apply the augmentations of a training in order, normalize the images, and apply mixup."""
        changes, alpha = augmentations(config), config.group("images", ImageFields).mixup_alpha
        for images, labels, draws in batches:
            for spec, change in changes:
                images = _same_kind(change(images, draws), images, spec)
            inputs = self.prepare(images, dataset.preprocess)
            targets = self.prepare_targets(labels, dataset.preprocess)
            if alpha:
                classes, seed = dataset.dims["num_classes"], draws.batch_seed("mixup")
                inputs, targets = mixup(inputs, targets, classes=classes, alpha=alpha, seed=seed)
            yield inputs, targets

    def overlap(self, config: TrainConfig) -> int:
        """Return 1 with mixup, which blends an image with the one before it."""
        return int(config.group("images", ImageFields).mixup_alpha > 0)

    def eval_batch_size(self, preprocess: Mapping[str, Any]) -> int:
        """Return 500, or fewer for large images."""
        return max(1, min(500, _EVAL_PIXELS // preprocess["size"] ** 2))

    def renumbered(self, split: Any, numbers: Tensor, count: int) -> Any:
        """Return a split with a model's labels, without reading the images."""
        found = super().renumbered(split, numbers, count)
        return (
            split.relabeled(found.labels) if isinstance(split, ImageSplit | FileSplit | ShardSplit) else found
        )


def _same_kind(made: object, images: Tensor, spec: AugmentationSpec) -> Tensor:
    """Return augmented images. Raises SpecError unless they have the type and the shape of the others."""
    if isinstance(made, Tensor) and (made.dtype, made.shape) == (images.dtype, images.shape):
        return made
    wanted, got = (
        f"{image.dtype} {[*image.shape]}" if isinstance(image, Tensor) else f"a {type(image).__name__}"
        for image in (images, made)
    )
    raise SpecError(
        f"augmentation {spec.name} must return images of the same type and shape, {wanted} (got {got})"
    )


def _normalize(images: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
    """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel, channels last."""
    mean, std = moved(torch.tensor([preprocess["mean"], preprocess["std"]]), images.device)  # in one copy
    count, channels, height, width = images.shape
    scale, shift = (1 / (255 * std)).repeat(width), (mean / std).repeat(width)
    rows = images.permute(0, 2, 3, 1).contiguous().view(count, height, width * channels)  # long, for speed
    return (rows * scale).sub_(shift).view(count, height, width, channels).permute(0, 3, 1, 2)
