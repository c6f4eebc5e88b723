"""The processor: reads images, and describes predicted masks. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from zoo import OptionError
from zoo.plugin import Card, InputReader, Prediction, Processor, image_reader, options
from zoo_segmentation.drawing import mask_png

__all__ = ["UNKNOWN", "MaskProcessor"]

# What a mask says of a pixel whose class is unknown
UNKNOWN = 255
# The largest height and width of an image: those of the user's own are resized to what a card says
_LARGEST = 2_048


class _Feeding(TypedDict):
    """The required keys of a card's `preprocess`."""

    size: int
    mean: list[float]
    std: list[float]
    classes: list[str]


class MaskProcessor(Processor):
    """Each pixel belongs to one of K classes."""

    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Raise OptionError unless every class has a name, and every channel has a mean and a std."""
        feeding = options.convert_table(preprocess, _Feeding, what="preprocess")
        side = arguments.get("image_size")
        if type(side) is not int or not 1 <= side <= _LARGEST:
            raise OptionError(f"image_size must be an integer from 1 to {_LARGEST:,} (got {side!r:.40})")
        if not all(map(math.isfinite, feeding["mean"])) or not all(0 < v < math.inf for v in feeding["std"]):
            raise OptionError("mean must be finite, and std finite and greater than 0")
        if len(feeding["classes"]) > UNKNOWN:
            raise OptionError(f"a mask can hold at most {UNKNOWN} classes (got {len(feeding['classes'])})")
        for key, dim in (("classes", "num_classes"), ("mean", "in_channels"), ("std", "in_channels")):
            given, expected = len(feeding[key]), arguments.get(dim)
            if given != expected:
                raise OptionError(f"{given} values in {key}, but {dim}={expected!r:.40}")

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return `images`."""
        return "images"

    def item(self, dims: Mapping[str, int]) -> NDArray[np.uint8]:
        """Return one image, uint8 (C, H, W)."""
        return np.zeros((dims["in_channels"], dims["image_size"], dims["image_size"]), np.uint8)

    def input_reader(self, card: Card) -> InputReader:
        """Return a reader that resizes the central square of the user's images."""
        return image_reader(size=card.arguments["image_size"], channels=card.arguments["in_channels"])

    def predictions(
        self, outputs: NDArray[Any], preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        """Return each image's mask, and the share of pixels of each class in it."""
        classes, found = preprocess["classes"], list[Prediction]()
        for mask in outputs.argmax(1):  # (H, W)
            shares = np.bincount(mask.ravel(), minlength=len(classes)) / mask.size
            ranked = sorted(zip(shares.tolist(), classes, strict=True), key=lambda pair: -pair[0])
            answers = [{"class": name, "share": share} for share, name in ranked[:top] if share]
            found.append(Prediction(rows=answers, images={"mask": partial(mask_png, mask)}))
        return found
