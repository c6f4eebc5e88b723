"""torchvision's augmentations, with separate random numbers for each image.

torchvision's transforms draw from torch's global generator. `each` seeds it for each image, so that the
result does not depend on the other images of a batch, and restores it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor
from torchvision.transforms import v2

from zoo import OptionError
from zoo.plugin import Draws

Share = Annotated[float, Meta(gt=0, le=1)]
Strength = Annotated[float, Meta(ge=0, le=1e38)]


def rand_augment(
    images: Tensor,
    draws: Draws,
    *,
    num_ops: Annotated[int, Meta(ge=1, le=14)] = 2,
    magnitude: Annotated[int, Meta(ge=0, le=30)] = 9,
) -> Tensor:
    """Apply random operations to images (B, C, H, W), uint8: RandAugment (Cubuk et al. 2020).

    Args:
        num_ops: number of operations for each image.
        magnitude: strength of the operations, from 0 to 30.
    """
    return each(v2.RandAugment(num_ops=num_ops, magnitude=magnitude), images, draws)


def trivial_augment(images: Tensor, draws: Draws) -> Tensor:
    """Apply one random operation, with a random strength, to each image, (B, C, H, W), uint8.

    Source: Müller & Hutter 2021, "TrivialAugment", arXiv 2103.10158.
    """
    return each(v2.TrivialAugmentWide(), images, draws)


def color_jitter(
    images: Tensor,
    draws: Draws,
    *,
    brightness: Strength = 0.4,
    contrast: Strength = 0.4,
    saturation: Strength = 0.4,
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.0,
) -> Tensor:
    """Change the brightness, contrast, saturation and hue of images (B, C, H, W), uint8, at random.

    Args:
        brightness: factor from 1 - brightness to 1 + brightness.
        contrast: factor from 1 - contrast to 1 + contrast.
        saturation: factor from 1 - saturation to 1 + saturation.
        hue: shift from -hue to hue, as a fraction of the color circle.
    """
    return each(v2.ColorJitter(brightness, contrast, saturation, hue), images, draws)


def random_erasing(
    images: Tensor,
    draws: Draws,
    *,
    p: Annotated[float, Meta(ge=0, le=1)] = 0.5,
    low: Share = 0.02,
    high: Share = 0.33,
) -> Tensor:
    """Set a random rectangle of images (B, C, H, W), uint8, to zero (Zhong et al. 2020).

    Args:
        p: probability that an image has a rectangle.
        low: smallest share of the image that the rectangle covers.
        high: largest share of the image that the rectangle covers.

    Raises OptionError if `low` exceeds `high`.
    """
    _require_order(low, high)
    return each(v2.RandomErasing(p=p, scale=(low, high)), images, draws)


def random_resized_crop(images: Tensor, draws: Draws, *, low: Share = 0.35, high: Share = 1.0) -> Tensor:
    """Cut a random rectangle out of images (B, C, H, W), uint8, and resize it to their size.

    Source: Szegedy et al. 2015, "Going deeper with convolutions".

    Args:
        low: smallest share of the image that is kept.
        high: largest share of the image that is kept.

    Raises OptionError if `low` exceeds `high`.
    """
    _require_order(low, high)
    return each(v2.RandomResizedCrop(images.shape[2:], scale=(low, high), antialias=True), images, draws)


def each(transform: Callable[[Tensor], Tensor], images: Tensor, draws: Draws) -> Tensor:
    """Apply a transform that draws from torch's global generator to each image, with its own seed.

    Args:
        images: (B, C, H, W).
    """
    changed = torch.empty_like(images)
    with torch.random.fork_rng(devices=[]):
        for number, seed in enumerate(draws.seeds().tolist()):
            torch.default_generator.manual_seed(seed)
            changed[number] = transform(images[number])
    return changed


def _require_order(low: float, high: float) -> None:
    if low > high:
        raise OptionError(f"low={low:g} must not exceed high={high:g}")
