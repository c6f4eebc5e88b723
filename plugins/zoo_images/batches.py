"""Make batches of images: read images from files or a dataset, and check, augment and normalize them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo import AugmentationSpec, DataError, TrainConfig, seed_for
from zoo.interfaces import Batch, Dataset, ReadsBatches, Split
from zoo.plugin import Card, Draws, SpecError, View, augmentations, chunks_of, moved, part_of
from zoo_images.class_balance import balanced_order, balanced_weights, weights_of
from zoo_images.fields import ImageFields, LabelFields
from zoo_images.image_set import ImageSplit
from zoo_images.matching import match_classes, renumbered
from zoo_images.mixing import mixup

# Pixels evaluated at a time: 500 images of up to 64×64, fewer of larger ones
_EVAL_PIXELS = 500 * 64 * 64


@runtime_checkable
class ReadsAhead(Protocol):
    """An image split that receives the indices of all batches of an epoch at once, to read ahead."""

    def batches(self, chosen: Sequence[Sequence[int]], /) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images (B, C, H, W), uint8, and the labels of each batch of indices, in order.

        Raises DataError for an image that cannot be read.
        """
        ...


class ImageBatches:
    """Base class of the image tasks: everything that does not depend on the kind of labels."""

    def example(self, dims: Mapping[str, int]) -> Tensor:
        """Return one image, (1, C, H, W)."""
        return torch.empty(1, dims["in_channels"], dims["image_size"], dims["image_size"])

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel."""
        return _normalize(items, preprocess)

    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Return the images, normalized with the card's mean and standard deviation.

        Classes are matched by name, in any order; the data may contain only some of the classes. Raises
        DataError if the size of the images differs from the card's, or if a class is not in the card.
        """
        for key in ("in_channels", "image_size"):
            ours, theirs = card.arguments[key], dataset.dims[key]
            if ours != theirs:
                hint = f"the model was trained on {card.dataset.name}"
                raise DataError(f"the data has {key}={theirs}, but the model has {key}={ours}", hint=hint)
        theirs, ours = ([*map(str, of.preprocess["classes"])] for of in (dataset, card))
        split, dims = dataset.split, {**dataset.dims, "num_classes": len(ours)}
        if theirs != ours:
            numbers = match_classes(theirs, ours)
            split = partial(_renumbered, dataset, numbers, len(ours))
        return View(dims=dims, preprocess=card.preprocess, split=split, fingerprint=dataset.fingerprint)

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the size of the images and their number of channels."""
        return {"size": card.arguments["image_size"], "channels": card.arguments["in_channels"]}

    def class_counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return the number of images of each class in a split; empty if counting would read all images."""
        labels, names = getattr(dataset.split(split), "labels", None), dataset.preprocess["classes"]
        if not isinstance(labels, Tensor) or labels.is_floating_point():
            return {}
        counts = labels.sum(0) if labels.ndim == 2 else torch.bincount(labels, minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=False))

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

        With `balanced_sampling`, images are drawn with replacement instead.
        """
        images, fields = _near(dataset.split("train"), device), config.group("images", ImageFields)
        if len(images) == 0:
            raise DataError("the training split is empty")
        chunks = chunks_of(_order(images, config, _generator(seed, "order", epoch)), config.batch_size)
        by_class = _class_weights(images, config, device)
        beside = int(fields.mixup_alpha > 0 and world_size > 1)  # an image is blended with the one before it
        parts = [_part(len(chunk), rank, world_size, beside) for chunk in chunks]
        wanted = [chunk[places].tolist() for chunk, (places, _) in zip(chunks, parts, strict=True)]
        turns, augmenting = _turns(len(images), seed=seed, epoch=epoch), augmentations(config)
        for index, (inputs, labels) in enumerate(_fetched(images, wanted[start:]), start):
            chunk, (places, share) = chunks[index], parts[index]
            draws = Draws(_generator(seed, "augment", epoch, index, 0), len(chunk), places, turns[chunk])
            inputs = moved(inputs, device)
            for spec, augment in augmenting:
                inputs = _same_kind(augment(inputs, draws), inputs, spec)
            inputs, targets = _normalize(inputs, dataset.preprocess), moved(labels, device)
            if fields.mixup_alpha:
                classes, alpha = dataset.dims["num_classes"], fields.mixup_alpha
                mix_seed = seed_for(seed, "mixup", epoch, index, 0)
                inputs, targets = mixup(inputs, targets, classes=classes, alpha=alpha, seed=mix_seed)
            inputs, targets = inputs[beside:], targets[beside:]
            weights = None if by_class is None else weights_of(targets, by_class)
            step_seed = seed_for(seed, "step", epoch, index, rank)
            yield Batch(inputs, targets, index, len(chunks), step_seed, share=share, weights=weights)

    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield every image once, in order."""
        size = max(1, min(500, _EVAL_PIXELS // preprocess["size"] ** 2))
        starts = range(0, len(items), size)
        wanted = [range(first, min(first + size, len(items))) for first in starts]
        for index, (inputs, labels) in enumerate(_fetched(items, wanted)):
            inputs = _normalize(moved(inputs, device), preprocess)
            yield Batch(inputs, moved(labels, device), index, len(starts), 0)


def _renumbered(dataset: Dataset, numbers: Sequence[int], count: int, name: Split) -> Any:
    return renumbered(dataset.split(name), numbers, count)


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


def _near(images: Any, device: str) -> Any:
    """Return a split with its tensors on a device, if they can be moved and fit; otherwise unchanged."""
    return images.on(device) if isinstance(images, ImageSplit) else images


def _order(images: Any, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Return the indices of an epoch's images, (N,)."""
    if config.group("labels", LabelFields).balanced_sampling:
        return balanced_order(images, generator)
    return torch.randperm(len(images), generator=generator)


def _class_weights(images: Any, config: TrainConfig, device: str) -> Tensor | None:
    """Return the weight of each class in the loss, (K,), or None."""
    if config.group("labels", LabelFields).class_weights == "none":
        return None
    return moved(balanced_weights(images), device)


def _part(count: int, rank: int, world_size: int, beside: int) -> tuple[Tensor, float]:
    """Return the positions of a process's part of a batch, preceded by the position before it if `beside`.

    The second value is the fraction of the batch that the part contains.
    """
    mine, share = part_of(count, rank=rank, world_size=world_size)
    places = torch.arange(count)[mine]
    return torch.cat([(places[:1] - 1) % count, places]) if beside else places, share


def _turns(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return which images are mirrored in an epoch, (count,); the others are mirrored in the next epoch."""
    first = torch.rand(count, generator=_generator(seed, "turns")) < 0.5
    return ~first if epoch % 2 else first


def _generator(*position: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(*position))


def _fetched(images: Any, wanted: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images and labels of each batch of indices; a split that reads ahead receives all batches."""
    if not isinstance(images, ReadsAhead):
        yield from (_fetch(images, indices) for indices in wanted)
        return
    for batch, labels in images.batches(wanted):
        yield batch, labels.float() if labels.ndim == 2 else labels


def _fetch(images: Any, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W), and labels (B,) or float (B, K), using `read_batch` if the split has it."""
    if isinstance(images, ReadsBatches):
        batch, labels = images.read_batch(list(indices))
    else:
        items = [images[index] for index in indices]
        batch = torch.stack([image for image, _ in items])
        several = isinstance(items[0][1], Tensor) and items[0][1].ndim
        labels = (torch.stack if several else torch.tensor)([label for _, label in items])
    return batch, labels.float() if labels.ndim == 2 else labels


def _normalize(images: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
    """Return uint8 images (B, C, H, W) as (x / 255 - mean) / std per channel, channels last."""
    mean, std = moved(torch.tensor([preprocess["mean"], preprocess["std"]]), images.device)  # in one copy
    count, channels, height, width = images.shape
    scale, shift = (1 / (255 * std)).repeat(width), (mean / std).repeat(width)
    rows = images.permute(0, 2, 3, 1).contiguous().view(count, height, width * channels)  # long, for speed
    return (rows * scale).sub_(shift).view(count, height, width, channels).permute(0, 3, 1, 2)
