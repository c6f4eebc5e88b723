"""The image processors: read images, and describe predictions. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import OptionError
from zoo.plugin import (
    Card,
    ClassificationProcessor,
    InputReader,
    ItemProcessor,
    Prediction,
    image_reader,
)

# The largest height and width of an image: images are resized to what a card says
_LARGEST = 2_048


class _ImageProcessor(ItemProcessor):
    """Base class of the image processors: everything that does not depend on the kind of labels."""

    what = "images"
    lengths = (("classes", "num_classes"), ("mean", "in_channels"), ("std", "in_channels"))

    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Raise OptionError unless every class has a name, and every channel has a mean and a std."""
        sizes = {"image_size": arguments.get("image_size", 1), "size": preprocess.get("size")}
        for name, value in sizes.items():
            if type(value) is not int or not 1 <= value <= _LARGEST:
                raise OptionError(f"{name} must be an integer from 1 to {_LARGEST:,} (got {value!r:.40})")
        super().check_feeding(preprocess, arguments)

    def item(self, dims: Mapping[str, int]) -> NDArray[np.uint8]:
        """Return one image, uint8 (C, H, W)."""
        return np.zeros((dims["in_channels"], dims["image_size"], dims["image_size"]), np.uint8)

    def input_reader(self, card: Card) -> InputReader:
        """Return a reader that resizes the central square of each image."""
        return image_reader(size=card.arguments["image_size"], channels=card.arguments["in_channels"])

    def read(self, source: Any, card: Card) -> NDArray[np.uint8]:
        """Return the central square of an image, uint8 (C, H, W)."""
        return self.input_reader(card).read(source)[0]


class ClassProcessor(_ImageProcessor, ClassificationProcessor):
    """Each image belongs to one of K classes."""


class LabelProcessor(_ImageProcessor):
    """Each image belongs to any number of K classes, or to none."""

    def predictions(
        self, outputs: NDArray[Any], preprocess: Mapping[str, Any], *, top: int | None = None
    ) -> Sequence[Prediction]:
        """Return each image's classes, most likely first: all with at least 0.5, or the first `top`."""
        names, found = preprocess["classes"], list[Prediction]()
        for values in np.exp(-np.logaddexp(0, -outputs)):  # the logistic function, without overflow
            count = top or int((values >= 0.5).sum())
            ranked = np.argsort(-values, kind="stable")[:count].tolist()
            answers = [{"class": names[number], "probability": float(values[number])} for number in ranked]
            found.append(Prediction(rows=answers, values=values))
        return found
