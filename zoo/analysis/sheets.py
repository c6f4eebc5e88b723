"""Images as they are drawn on a sheet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Height and width of an image on a sheet, in pixels
_TILE = 160


def shown(inputs: Tensor, preprocess: Mapping[str, Any]) -> Image.Image:
    """Return a model's input (C, H, W) as an image, without the normalization."""
    mean, std = (torch.tensor(preprocess[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return picture((255 * (inputs.float().cpu() * std + mean)).round().clamp(0, 255).byte())


def picture(pixels: Tensor) -> Image.Image:
    """Return pixels (C, H, W), uint8, as a color image of 160×160 pixels."""
    colors = pixels[:3] if len(pixels) >= 3 else pixels[:1].expand(3, -1, -1)
    image = Image.fromarray(np.ascontiguousarray(colors.permute(1, 2, 0).cpu().numpy()))
    return image.resize((_TILE, _TILE), Image.Resampling.LANCZOS)


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
