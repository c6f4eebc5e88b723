"""Synthetic shapes: a classification dataset without a download, with the bounding box of every object.

Each image has `objects` shapes of one kind, which is its label, over a noisy background with clutter: lines
and dots that belong to no class. Image number i depends only on (seed, split, i).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from zoo import OptionError, seed_for
from zoo.interfaces import Box, Split
from zoo.plugin import report_work
from zoo_images.image_set import ImageSet, ImageSplit, Seed, Statistics, statistics_of
from zoo_images.kept_array import kept

Array = np.ndarray

# Types of options that all drawn sets have
Size = Annotated[int, Meta(ge=16, le=512)]
Clutter = Annotated[int, Meta(ge=0, le=50)]
TrainSize = Annotated[int, Meta(ge=8, le=100_000)]
HeldOutSize = Annotated[int, Meta(ge=0, le=100_000)]

# The version of the drawing, raised whenever the same options give other images
_FORMAT = 1
# Of all images: a weights file may say how many are drawn, and must not take all memory
_MOST_BYTES = 400_000_000

# Whether a pixel is inside a shape, given its offset from the center in units of half the shape's size
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "ring": lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.3),
    "square": lambda x, y: (abs(x) <= 0.9) & (abs(y) <= 0.9),
    "frame": lambda x, y: (np.maximum(abs(x), abs(y)) <= 0.9) & (np.maximum(abs(x), abs(y)) >= 0.5),
    "triangle": lambda x, y: (y <= 0.9) & (y >= 2 * abs(x) - 0.9),
    "diamond": lambda x, y: abs(x) + abs(y) <= 1,
    "plus": lambda x, y: (np.minimum(abs(x), abs(y)) <= 0.3) & (np.maximum(abs(x), abs(y)) <= 1),
    "cross": lambda x, y: (abs(abs(x) - abs(y)) <= 0.35) & (np.maximum(abs(x), abs(y)) <= 0.9),
}


@dataclass(frozen=True, slots=True)
class Style:
    """The options of an image; `objects` is the maximum number of objects."""

    size: int
    objects: int
    clutter: int
    seed: int


class Shapes(ImageSplit):
    """Synthetic images with the boxes of their objects. See `zoo.interfaces.HasBoxes`.

    Args:
        images: uint8 (N, 3, size, size).
        drawn: int16 (N, objects, 5), the kind and the box of each object; the kind is -1 for no object.
    """

    def __init__(self, images: Tensor, drawn: Tensor) -> None:
        super().__init__(images, drawn[:, 0, 0].long())
        self._drawn = drawn

    @cached_property
    def boxes(self) -> list[dict[int, list[Box]]]:
        """For each image, the boxes of its objects by kind."""
        return boxes_by_kind(self._drawn)


def boxes_by_kind(drawn: Tensor) -> list[dict[int, list[Box]]]:
    """Return, for each image, the boxes of its objects by kind.

    Args:
        drawn: as in `Shapes`.
    """
    found: list[dict[int, list[Box]]] = []
    for objects in drawn.tolist():
        found.append({})
        for kind, x0, y0, x1, y1 in objects:
            if kind >= 0:
                found[-1].setdefault(kind, []).append((x0, y0, x1, y1))
    return found


def shapes(
    *,
    size: Size = 32,
    objects: Annotated[int, Meta(ge=1, le=4)] = 1,
    clutter: Clutter = 4,
    train_size: TrainSize = 5_000,
    val_size: HeldOutSize = 500,
    test_size: HeldOutSize = 1_000,
    seed: Seed = 0,
) -> ImageSet:
    """Draw eight kinds of shapes in random colors, sizes and positions.

    Args:
        size: height and width in pixels.
        objects: number of shapes in each image, all of the image's class.
        clutter: number of lines and dots in each image.
        train_size: number of images in the train split; classes alternate.
        val_size: number of images in the val split.
        test_size: number of images in the test split.
        seed: random seed of the images.

    Raises OptionError if the images would take more than 400 MB in total.
    """
    style = Style(size, objects, clutter, seed)
    counts: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}

    def plan(split: Split, number: int) -> tuple[list[int], int]:
        return [number % len(SHAPES)] * objects, seed_for(seed, split, number)

    return drawn("shapes", Shapes, plan, counts, style)


def drawn(
    name: str,
    make: Callable[[Tensor, Tensor], ImageSplit],
    plan: Callable[[Split, int], tuple[list[int], int]],
    counts: Mapping[Split, int],
    style: Style,
) -> ImageSet:
    """Return a set of synthetic images, from the cache if possible.

    Args:
        name: name of the dataset.
        make: returns a split from images (N, 3, size, size) and int16 (N, objects, 5); see `Shapes`.
        plan: returns the kinds of the objects in an image, and its seed, given the split and the image's
            number.

    Raises OptionError if the images would take more than 400 MB in total.
    """
    total, most = sum(counts.values()), _MOST_BYTES // (3 * style.size**2)
    if total > most:
        size = f"{style.size}×{style.size}"
        message = f"at most {most:,} images of {size} pixels fit in the 400 MB limit (got {total:,})"
        raise OptionError(message, hint="set a smaller size, train_size, val_size or test_size")
    shape, border = (total, 3, style.size, style.size), total * 3 * style.size**2

    def draw_all() -> Tensor:
        content = torch.empty(border + total * style.objects * 10, dtype=torch.uint8)
        images, objects = _parts(content, shape, style.objects)
        rows = objects.fill_(-1).numpy()
        plans = [plan(split, number) for split, count in counts.items() for number in range(count)]
        for place, (kinds, seed) in enumerate(plans):
            image, boxes = draw(kinds, seed, style)
            images[place] = torch.from_numpy(image)
            for turn, (kind, box) in enumerate(zip(kinds, boxes, strict=True)):
                rows[place, turn] = (kind, *box)
            report_work(f"drawing {name}", place + 1, total, "images")
        return content

    found = kept(f"synthesized/{name}", (_FORMAT, np.__version__, style, counts), draw_all, what=name)
    images, objects = _parts(found.content, shape, style.objects)
    sizes = [*counts.values()]
    parts = zip(counts, images.split(sizes), objects.split(sizes), strict=True)
    train = images[: counts["train"]]
    return ImageSet(
        {split: make(*part) for split, *part in parts},
        classes=list(SHAPES),
        fingerprint=found.fact("fingerprint", lambda: hashlib.sha256(images.numpy().data).hexdigest(), str),
        statistics=found.fact("statistics", lambda: statistics_of(train), Statistics),
    )


def _parts(content: Tensor, shape: tuple[int, ...], objects: int) -> tuple[Tensor, Tensor]:
    """Return the images and their objects as parts of one array of bytes."""
    border = math.prod(shape)
    numbers = content[border:].numpy().view("<i2").reshape(shape[0], objects, 5)
    return content[:border].view(shape), torch.from_numpy(numbers)


def draw(kinds: Sequence[int], seed: int, style: Style) -> tuple[Array, list[Box]]:
    """Draw an image, uint8 (3, size, size), of shapes given by number; return it with their boxes."""
    random = np.random.Generator(np.random.Philox(seed))
    size = style.size
    xs = np.arange(size) + 0.5
    ys = xs[:, None]
    ground = random.uniform(40, 215, 3)
    image = ground[:, None, None] + random.normal(0, 12, (3, size, size))
    for _ in range(style.clutter):
        _paint(image, _scribble(xs, ys, random, size), ground, random)
    shapes = list(SHAPES.values())
    boxes: list[Box] = []
    for kind, (middle_x, middle_y, half) in zip(kinds, _places(random, style, len(kinds)), strict=True):
        mask = np.zeros((size, size), bool)
        while not mask.any():  # in a small image, the sides of a frame may lie between the pixels
            mask = shapes[kind]((xs - middle_x) / half, (ys - middle_y) / half)
            half *= 1.05
        _paint(image, mask, ground, random)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return image.clip(0, 255).astype(np.uint8), boxes


def _places(random: np.random.Generator, style: Style, count: int) -> list[tuple[float, float, float]]:
    """Return (x, y, half size) of `count` objects, in separate cells so that they do not overlap."""
    grid = 1 if style.objects == 1 else 2
    cell = style.size / grid
    places: list[tuple[float, float, float]] = []
    for number in random.permutation(grid * grid)[:count]:
        half = random.uniform(0.24, 0.42) * cell
        if grid == 1:
            half = random.uniform(0.17, 0.36) * cell
        left, top = (number % grid) * cell, (number // grid) * cell
        x, y = random.uniform(half, cell - half, 2)
        places.append((left + x, top + y, half))
    return places


def _scribble(xs: Array, ys: Array, random: np.random.Generator, size: int) -> Array:
    """Return the mask of a thin line or a dot."""
    x, y = random.uniform(0, size, 2)
    if random.random() < 0.5:
        return (xs - x) ** 2 + (ys - y) ** 2 <= random.uniform(0.7, 1.5) ** 2
    angle, length = random.uniform(0, np.pi), random.uniform(0.1, 0.4) * size
    along = (xs - x) * np.cos(angle) + (ys - y) * np.sin(angle)
    across = (ys - y) * np.cos(angle) - (xs - x) * np.sin(angle)
    return (abs(along) <= length) & (abs(across) <= 0.6)


def _paint(image: Array, mask: Array, ground: Array, random: np.random.Generator) -> None:
    """Fill the mask with a color that stands out from the background."""
    color = random.uniform(0, 255, 3)
    while abs(color - ground).max() < 80:
        color = random.uniform(0, 255, 3)
    image[:, mask] = color[:, None] + random.normal(0, 8, (3, np.count_nonzero(mask)))
