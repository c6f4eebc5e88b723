"""Training options for images and for classes. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo.plugin import Fraction, NonNegative, option, options

Augmentation = Literal["alternating-flip", "crop", "cutout", "flip", "translate"]


@dataclass(frozen=True, kw_only=True)
class ImageFields:
    """Training options for images."""

    augment: tuple[Augmentation, ...] = option(
        (), "random augmentations, applied in the given order and sampled separately for each image."
    )
    mixup_alpha: NonNegative = option(
        0.0,
        "alpha parameter of mixup, which blends pairs of training images and their labels; 0 disables mixup.",
    )

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, kw_only=True)
class LabelFields:
    """Training options for labels."""

    label_smoothing: Fraction = option(
        0.0, "fraction of the target probability that is spread evenly over all classes."
    )

    def __post_init__(self) -> None:
        options.validate(self)
