"""Augment images and their masks alike."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo import OptionError, TrainConfig
from zoo.plugin import Draws, augmentations
from zoo_segmentation.processor import UNKNOWN

__all__ = ["augmented"]


def augmented(images: Tensor, masks: Tensor, config: TrainConfig, draws: Draws) -> tuple[Tensor, Tensor]:
    """Apply the augmentations of a training in order, identically to an image and its mask.

    Crops are padded with zeros. The mask becomes a channel of its image, stored as 255 minus the class, so
    that zeros mean unknown. An augmentation of colors, such as `cutout`, does not change the mask.

    Args:
        images: uint8 (B, C, H, W).
        masks: uint8 (B, H, W).

    Raises OptionError for an augmentation that changes both colors and places.
    """
    layers = torch.cat([images, (UNKNOWN - masks)[:, None]], 1)
    for spec, augment in augmentations(config):
        if spec.changes == "both":
            raise OptionError(f"augment={spec.name} changes colors and places, so a mask cannot follow it")
        if spec.changes == "colors":
            layers = torch.cat([augment(layers[:, :-1], draws), layers[:, -1:]], 1)
        else:
            layers = augment(layers, draws)
    return layers[:, :-1], UNKNOWN - layers[:, -1]
