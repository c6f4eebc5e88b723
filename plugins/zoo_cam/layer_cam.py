"""LayerCAM: features times positive gradients, each place by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look


class LayerCAM(ActivationMap):
    """The sum over channels of features times those gradients that are positive.

    In early layers a channel means different things in different places: weights for each place, and none
    below zero, give fine maps there. `--layer` chooses one.

    Source: Jiang et al. 2021, equations 5 and 6.
    """

    def draw(self, look: Look) -> Tensor:
        return torch.stack([(gradient.relu() * look.features).sum(1) for gradient in look.gradients()], 1)
