"""Eigen-CAM: the first principal component of a layer's output."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo_cam.activation_map import ActivationMap, Look


class EigenCAM(ActivationMap):
    """The projection of the features onto their first right singular vector, the same for every class.

    The sign of a singular vector is arbitrary, so it is chosen to make the sum of the map positive.

    Source: Muhammad & Yeasin 2020, section 3.
    """

    differentiates: ClassVar[bool] = False

    def draw(self, look: Look) -> Tensor:
        batch, channels, height, width = look.features.shape
        pixels = look.features.reshape(batch, channels, -1).transpose(1, 2)  # (B, h w, F)
        _, _, directions = torch.linalg.svd(pixels, full_matrices=False)
        maps = (pixels * directions[:, :1]).sum(2).view(batch, 1, height, width)
        maps = maps * torch.where(maps.sum((2, 3), keepdim=True) < 0, -1.0, 1.0)
        return maps.expand(-1, look.classes.shape[1], -1, -1)
