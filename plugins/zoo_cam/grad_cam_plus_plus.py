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
        sums = look.features.sum((2, 3), keepdim=True)  # (B, F, 1, 1)
        weights: list[Tensor] = []
        for gradient in look.gradients():  # (B, F, h, w)
            squares = gradient**2
            shares = squares / (2 * squares + sums * gradient * squares + 1e-6)
            shares = torch.where(gradient != 0, shares, 0)
            weights.append((gradient.relu() * shares).sum((2, 3)))
        return weighted(look.features, torch.stack(weights, 1))
