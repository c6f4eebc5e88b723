"""Augment images and their masks alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.plugin import Draws, augment
from zoo_segmentation.processor import UNKNOWN

__all__ = ["augmented"]

# What changes the colors of an image, and nothing's place
_OF_COLORS = ("cutout",)


def augmented(images: Tensor, masks: Tensor, names: Sequence[str], draws: Draws) -> tuple[Tensor, Tensor]:
    """Apply augmentations in order, identically to an image and its mask.

    Crops are padded with zeros. The mask becomes a channel of its image, stored as 255 minus the class, so
    that zeros mean unknown. `cutout` hides part of the image, but does not change the mask.

    Args:
        images: uint8 (B, C, H, W).
        masks: uint8 (B, H, W).
    """
    layers = torch.cat([images, (UNKNOWN - masks)[:, None]], 1)
    for name in names:
        if name in _OF_COLORS:
            layers = torch.cat([augment(layers[:, :-1], [name], draws), layers[:, -1:]], 1)
        else:
            layers = augment(layers, [name], draws)
    return layers[:, :-1], UNKNOWN - layers[:, -1]
