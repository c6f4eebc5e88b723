"""Grad-CAM: feature maps weighted by gradients, for any network that has feature maps."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look, weighted


class GradCAM(ActivationMap):
    """Features weighted by the mean of their gradients.

    If average pooling and a linear layer follow, the gradient is the class's row divided by the number of
    pixels, so the map equals CAM up to a scale factor. Unlike CAM, Grad-CAM also works before max pooling.

    Source: Selvaraju et al. 2017, equations 1 and 2.
    """

    def draw(self, look: Look) -> Tensor:
        weights = torch.stack([gradient.mean((2, 3)) for gradient in look.gradients()], 1)  # (B, K, F)
        return weighted(look.features, weights)
