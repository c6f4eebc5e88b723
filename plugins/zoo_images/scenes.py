"""Drawn scenes: several kinds of shapes in one image, a multi-label set that needs no download.

Each image has from none to `objects` shapes of any kinds, over a noisy background with clutter, and its
labels are the kinds that are there. Image number i is a function of (seed, split, i) alone.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from msgspec import Meta

from zoo import seed_for
from zoo.files.work import report_work
from zoo.interfaces import Box, Split
from zoo_images.image_set import ImageSet, ImageSplit, Seed
from zoo_images.shapes import SHAPES, Clutter, HeldOutSize, Size, Style, TrainSize, draw, drawn


class Scenes(ImageSplit):
    """Drawn images with the boxes of their objects. See `zoo.interfaces.HasClassBoxes`."""

    def __init__(self, count: int, split: Split, style: Style) -> None:
        images = torch.empty(count, 3, style.size, style.size, dtype=torch.uint8)
        super().__init__(images, torch.zeros(count, len(SHAPES), dtype=torch.uint8))
        self.class_boxes: list[dict[int, list[Box]]] = []
        for number in range(count):
            random = np.random.Generator(np.random.Philox(seed_for(style.seed, "kinds", split, number)))
            kinds = random.integers(0, len(SHAPES), random.integers(0, style.objects + 1)).tolist()
            image, boxes = draw(kinds, seed_for(style.seed, "scenes", split, number), style)
            images[number] = torch.from_numpy(image)
            self.labels[number, kinds] = 1
            self.class_boxes.append(
                {k: [box for kind, box in zip(kinds, boxes, strict=True) if kind == k] for k in {*kinds}}
            )
            report_work("drawing scenes", number + 1, count, "images")


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
    """Draw shapes of up to eight kinds, side by side, in random colors, sizes and places.

    Args:
        size: height and width in pixels.
        objects: the most shapes in an image; each number down to none is as likely.
        clutter: number of lines and dots in each image.
        train_size: number of images in the train split.
        val_size: number of images in the val split.
        test_size: number of images in the test split.
        seed: random seed of the drawing.

    Raises OptionError if all images together would take more than 400 MB.
    """
    counts: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}
    return drawn(Scenes, counts, Style(size, objects, clutter, seed))
