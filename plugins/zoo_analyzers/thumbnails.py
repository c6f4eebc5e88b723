"""The images of a model's inputs, before normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Height and width to which larger images are resized, in pixels
_SIDE = 96


def thumbnail(image: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
    """Undo the normalization of an image (C, H, W); return it in the range 0 to 1, at most 96×96 pixels."""
    mean, std = (torch.tensor(preprocess[key]).view(-1, 1, 1) for key in ("mean", "std"))
    shown = (image.cpu() * std + mean).clamp(0, 1)
    if shown.shape[1] > _SIDE:
        shown = F.interpolate(shown[None], (_SIDE, _SIDE), mode="bilinear", antialias=True)[0]
    return shown
