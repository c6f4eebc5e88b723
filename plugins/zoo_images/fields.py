"""Training options for images and for classes. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo import OptionError
from zoo.plugin import option, options


@dataclass(frozen=True, kw_only=True)
class ImageFields:
    """Training options for images."""

    augment: tuple[str, ...] = option(
        (),
        "names of random augmentations, applied in the given order and sampled separately for each image; "
        "`zoo list augmentations` shows all.",
        names="augmentation",
    )
    augment_options: Mapping[str, Any] = option({}, "options of augmentations, such as `random-erasing.p=1`.")
    mixup_alpha: Annotated[float, Meta(ge=0, le=1e38)] = option(
        0.0,
        "alpha parameter of mixup, which blends pairs of training images and their labels; 0 disables mixup.",
    )

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, kw_only=True)
class LabelFields:
    """Training options for labels."""

    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = option(
        0.0, "fraction of the target probability that is spread evenly over all classes."
    )
    class_weights: Literal["none", "balanced"] = option(
        "none",
        "weights of the classes in the loss: `balanced` weights each class by the inverse of its number of "
        "images.",
    )
    balanced_sampling: bool = option(
        False,
        "draw the images of each epoch with replacement, so that all classes are equally likely.",
    )

    def __post_init__(self) -> None:
        options.validate(self)
        if self.class_weights == "balanced" and self.balanced_sampling:
            raise OptionError(
                "class_weights=balanced and balanced_sampling=true cannot be combined: both balance classes"
            )
