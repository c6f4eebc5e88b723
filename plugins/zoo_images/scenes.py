"""Synthetic scenes: several kinds of shapes in one image, a multi-label dataset without a download.

Each image has 0 to `objects` shapes of any kind, over a noisy background with clutter, and its labels are the
kinds of its shapes. Image number i depends only on (seed, split, i).
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from zoo import seed_for
from zoo.interfaces import Box, Split
from zoo_images.image_set import ImageSet, ImageSplit, Seed
from zoo_images.shapes import SHAPES, Clutter, HeldOutSize, Size, Style, TrainSize, boxes_by_kind, drawn


class Scenes(ImageSplit):
    """Synthetic images with the boxes of their objects. See `zoo.interfaces.HasBoxes`.

    Args:
        images: uint8 (N, 3, size, size).
        drawn: int16 (N, objects, 5), as in `Shapes`.
    """

    def __init__(self, images: Tensor, drawn: Tensor) -> None:
        labels = (drawn[:, :, :1] == torch.arange(len(SHAPES))).any(1)
        super().__init__(images, labels.to(torch.uint8))
        self._drawn = drawn

    @cached_property
    def boxes(self) -> list[dict[int, list[Box]]]:
        """For each image, the boxes of its objects by kind."""
        return boxes_by_kind(self._drawn)


def scenes(
    *,
    size: Size = 32,
    objects: Annotated[int, Meta(ge=2, le=4)] = 4,
    clutter: Clutter = 4,
    train_size: TrainSize = 5_000,
    val_size: HeldOutSize = 500,
    test_size: HeldOutSize = 1_000,
    seed: Seed = 0,
) -> ImageSet:
    """Draw shapes of up to eight kinds, side by side, in random colors, sizes and positions.

    Args:
        size: height and width in pixels.
        objects: maximum number of shapes in an image; all counts from 0 to this maximum are equally likely.
        clutter: number of lines and dots in each image.
        train_size: number of images in the train split.
        val_size: number of images in the val split.
        test_size: number of images in the test split.
        seed: random seed of the images.

    Raises OptionError if the images would take more than 400 MB in total.
    """
    counts: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}

    def plan(split: Split, number: int) -> tuple[list[int], int]:
        random = np.random.Generator(np.random.Philox(seed_for(seed, "kinds", split, number)))
        kinds = random.integers(0, len(SHAPES), random.integers(0, objects + 1)).tolist()
        return kinds, seed_for(seed, "scenes", split, number)

    return drawn("scenes", Scenes, plan, counts, Style(size, objects, clutter, seed))
