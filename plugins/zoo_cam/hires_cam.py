"""HiResCAM: features times gradients, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look


class HiResCAM(ActivationMap):
    """The sum over channels of features times gradients.

    Grad-CAM averages the gradient over the image first; HiResCAM does not. If only linear layers follow, the
    map is exactly the contribution of each pixel to the logit.

    Source: Draelos & Carin 2020, section 3.2.
    """

    def draw(self, look: Look) -> Tensor:
        return torch.stack([(gradient * look.features).sum(1) for gradient in look.gradients()], 1)
