"""A mask as an image. Torch-free."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["mask_png"]

# Colors of the first classes, told apart with any kind of color vision (Okabe & Ito 2008); then they repeat
_COLORS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff")


def mask_png(mask: NDArray[np.integer[Any]]) -> bytes:
    """Return a mask (H, W) as a PNG with a color palette, whose pixel values are class numbers."""
    image = Image.fromarray(mask.astype(np.uint8))
    colors = b"".join(bytes.fromhex(_COLORS[number % len(_COLORS)][1:]) for number in range(256))
    image.putpalette(colors)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
