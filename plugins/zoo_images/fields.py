"""Training fields that only images, or only classes, have. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo.plugin import Fraction, NonNegative, options

Augmentation = Literal["alternating-flip", "crop", "cutout", "flip", "translate"]


@dataclass(frozen=True, kw_only=True)
class ImageFields:
    """Training fields of images.

    Attributes:
        augment: random augmentations in order, drawn for each image separately.
        mixup_alpha: alpha of mixup, which blends pairs of training images and their labels; 0 is off.
    """

    augment: tuple[Augmentation, ...] = ()
    mixup_alpha: NonNegative = 0.0

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, kw_only=True)
class LabelFields:
    """Training fields of labels.

    Attributes:
        label_smoothing: share of the target that is spread evenly over all classes.
    """

    label_smoothing: Fraction = 0.0

    def __post_init__(self) -> None:
        options.validate(self)
