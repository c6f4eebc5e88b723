"""Grad-CAM++: gradients weighted so that all objects of a class count equally."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look, weighted


class GradCAMPlusPlus(ActivationMap):
    """Features weighted by their positive gradients, with a different coefficient for every pixel.

    If the score is the exponential of a logit, its second and third derivatives are powers of the first, and
    the coefficients are g² / (2 g² + g³ Σ A) for a gradient g and the features A of the same channel.

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
