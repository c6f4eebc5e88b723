"""LayerCAM: features times positive gradients, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look


class LayerCAM(ActivationMap):
    """The sum over channels of features times positive gradients.

    In early layers, a channel means different things at different positions, so weighting each pixel
    separately, without negative weights, produces finer maps. `--layer` selects the layer.

    Source: Jiang et al. 2021, equations 5 and 6.
    """

    def draw(self, look: Look) -> Tensor:
        return torch.stack([(gradient.relu() * look.features).sum(1) for gradient in look.gradients()], 1)
