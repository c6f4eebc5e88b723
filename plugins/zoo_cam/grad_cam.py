"""Grad-CAM: how much each feature matters, from gradients, for any network with feature maps."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look, weighted


class GradCAM(ActivationMap):
    """Features weighted by the mean of their gradients.

    Behind a mean and a linear layer the gradient is the class's row over the number of places, so that this
    is CAM but for a scale. Behind a maximum it still says something.

    Source: Selvaraju et al. 2017, equations 1 and 2.
    """

    def draw(self, look: Look) -> Tensor:
        weights = torch.stack([gradient.mean((2, 3)) for gradient in look.gradients()], 1)  # (B, K, F)
        return weighted(look.features, weights)
