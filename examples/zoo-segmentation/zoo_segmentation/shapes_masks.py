"""The dataset: synthetic overlapping shapes, and the class of every pixel.

Image number i of a split depends only on (seed, split, i).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor
from torch.utils.data import TensorDataset

from zoo import OptionError, seed_for
from zoo.interfaces import Dataset, Split
from zoo.plugin import report_work

__all__ = ["ShapesMasks"]

Array = np.ndarray
Count = Annotated[int, Meta(ge=0, le=50_000)]

# Of all images and masks: a weights file may say how many are drawn, and must not take all memory
_MOST_BYTES = 400_000_000

# Whether a pixel is inside a shape, given its offset from the center in units of half the shape's size
KINDS: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) <= 0.85,
    "triangle": lambda x, y: (y <= 0.85) & (y >= 2 * abs(x) - 0.95),
    "plus": lambda x, y: (np.minimum(abs(x), abs(y)) <= 0.32) & (np.maximum(abs(x), abs(y)) <= 1),
    "ring": lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.35),
}


class ShapesMasks(Dataset):
    """Shapes of several kinds in each image, in random colors, sizes and positions, over a noisy background.

    Args:
        size: height and width in pixels.
        kinds: number of kinds of shapes; the background is an additional class.
        shapes: maximum number of shapes in an image; every image has at least two shapes, unless the maximum
            is 1.
        train_size: images in the train split.
        val_size: images in the val split.
        test_size: images in the test split.
        seed: random seed of the images.

    Raises OptionError if the images would take more than 400 MB in total.
    """

    def __init__(
        self,
        *,
        size: Annotated[int, Meta(ge=16, le=512)] = 48,
        kinds: Literal[3, 4, 5] = 4,
        shapes: Annotated[int, Meta(ge=1, le=8)] = 4,
        train_size: Annotated[int, Meta(ge=8, le=50_000)] = 2_000,
        val_size: Count = 200,
        test_size: Count = 400,
        seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0,
    ) -> None:
        counts: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}
        total, most = sum(counts.values()), _MOST_BYTES // (4 * size**2)
        if total > most:
            message = f"at most {most:,} images of {size}×{size} pixels fit in the 400 MB limit"
            hint = "set a smaller size, train_size, val_size or test_size"
            raise OptionError(f"{message} (got {total:,})", hint=hint)
        self.size, self.kinds, self.shapes, self.seed = size, list(KINDS)[:kinds], shapes, seed
        self._splits = {name: self._drawn(name, count) for name, count in counts.items()}

    def _drawn(self, name: Split, count: int) -> tuple[Tensor, Tensor]:
        """Return images, uint8 (N, 3, size, size), and masks, uint8 (N, size, size)."""
        images = torch.empty(count, 3, self.size, self.size, dtype=torch.uint8)
        masks = torch.empty(count, self.size, self.size, dtype=torch.uint8)
        for number in range(count):
            random = np.random.Generator(np.random.Philox(seed_for(self.seed, name, number)))
            image, mask = _draw(random, self.size, self.kinds, self.shapes)
            images[number], masks[number] = torch.from_numpy(image), torch.from_numpy(mask)
            report_work("drawing shapes", number + 1, count, "images")
        return images, masks

    @property
    def dims(self) -> Mapping[str, int]:
        """Return the channels, the size and the number of classes."""
        return {"in_channels": 3, "image_size": self.size, "num_classes": 1 + len(self.kinds)}

    @property
    def preprocess(self) -> Mapping[str, Any]:
        """Return the normalization, the same for every seed, and the names of the classes."""
        classes = ["background", *self.kinds]
        return {"size": self.size, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": classes}

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of all images and masks."""
        digest = hashlib.sha256(repr(self.kinds).encode())
        for images, masks in self._splits.values():
            digest.update(images.numpy().data)
            digest.update(masks.numpy().data)
        return digest.hexdigest()

    def split(self, name: Split) -> TensorDataset:
        """Return images and masks."""
        return TensorDataset(*self._splits[name])


def _draw(random: np.random.Generator, size: int, kinds: list[str], most: int) -> tuple[Array, Array]:
    """Return an image, uint8 (3, size, size), and its mask, uint8 (size, size)."""
    ys, xs = np.mgrid[:size, :size] + 0.5
    mask = np.zeros((size, size), np.uint8)
    colors = [random.uniform(0, 255, 3)]
    image = np.broadcast_to(colors[0][:, None, None], (3, size, size)).copy()
    for _ in range(random.integers(min(2, most), most + 1)):
        number = int(random.integers(len(kinds)))
        half = random.uniform(0.13, 0.26) * size
        x, y = random.uniform(0.6 * half, size - 0.6 * half, 2)  # a part may lie outside
        inside = KINDS[kinds[number]]((xs - x) / half, (ys - y) / half)
        mask[inside] = 1 + number
        colors.append(_unlike(colors, random))
        image[:, inside] = colors[-1][:, None]
    image += random.normal(0, 14, image.shape)
    return image.clip(0, 255).astype(np.uint8), mask


def _unlike(colors: list[Array], random: np.random.Generator) -> Array:
    """Return a color that stands out from the others."""
    while True:
        color = random.uniform(0, 255, 3)
        if all(abs(color - other).max() >= 50 for other in colors):
            return color
