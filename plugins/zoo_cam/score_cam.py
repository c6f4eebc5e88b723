"""Score-CAM: feature maps weighted by the model's output for the image masked with each map."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from zoo_cam.activation_map import ActivationMap, Look, weighted


class ScoreCAM(ActivationMap):
    """Features weighted by the class's logit for the image masked with each feature, without gradients.

    Each feature map is scaled to [0, 1], resized to the size of the image and multiplied by the image. A
    softmax over the channels turns the model's logits for these images into weights. The model processes one
    masked image per channel.

    Args:
        flips, rectify: see `ActivationMap`.
        batch_size: number of masked images per forward pass.

    Source: Wang et al. 2020, algorithm 1.
    """

    differentiates: ClassVar[bool] = False

    def __init__(
        self, *, flips: bool = False, rectify: bool = True, batch_size: Annotated[int, Meta(ge=1)] = 128
    ) -> None:
        super().__init__(flips=flips, rectify=rectify)
        self.batch_size = batch_size

    def draw(self, look: Look) -> Tensor:
        weights: list[Tensor] = []
        for image, features, classes in zip(look.images, look.features, look.classes, strict=True):
            scores = torch.cat(
                [look.model(image * _masks(part, image)).float() for part in features.split(self.batch_size)]
            )  # (F, classes)
            weights.append(scores[:, classes].softmax(0).T)  # (K, F)
        return weighted(look.features, torch.stack(weights))


def _masks(features: Tensor, image: Tensor) -> Tensor:
    """Convert feature maps (F, h, w) to masks (F, 1, H, W) from 0 to 1; a constant map becomes zeros."""
    large = F.interpolate(features[:, None], image.shape[1:], mode="bilinear", align_corners=True)
    low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
    return ((large - low) / (high - low).clamp(min=1e-8)).to(image.dtype)
