"""Grad-CAM++: gradients weighted so that each object of a class counts as much as another."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look, weighted


class GradCAMPlusPlus(ActivationMap):
    """Features weighted by their positive gradients, each place by its own share.

    With the exponential of a logit as the score, its second and third derivative are powers of the first, and
    the shares are g² / (2 g² + g³ Σ A) for a gradient g and the features A of the same channel.

    Source: Chattopadhay et al. 2018, equations 5 and 19.
    """

    def draw(self, look: Look) -> Tensor:
        gradients = look.gradients()  # (B, K, F, h, w)
        squares = gradients**2
        sums = look.features.sum((2, 3))[:, None, :, None, None]  # (B, 1, F, 1, 1)
        shares = torch.where(gradients != 0, squares / (2 * squares + sums * gradients * squares + 1e-6), 0)
        weights = (gradients.relu() * shares).sum((3, 4))  # (B, K, F)
        return weighted(look.features, weights)
