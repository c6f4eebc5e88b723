"""Pictures of any size, mode and direction as bytes of one size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a picture for. It knows others that start programs, such as Ghostscript for EPS."""


def decode(content: bytes, *, size: int, channels: int) -> Tensor:
    """Return an encoded picture as uint8 (channels, size, size): its middle square, resized.

    It is turned upright as its EXIF says. What is transparent lies on white, 16 bits of grey are scaled to 8,
    and of an animation the first frame is taken. Raises whatever Pillow raises for a damaged picture, and
    ValueError for one of floating-point numbers.
    """
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # not every Pillow has AVIF; HEIF is an add-on
    with Image.open(io.BytesIO(content), formats=formats) as opened:
        opened.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
        image = _flat(ImageOps.exif_transpose(opened), "RGB" if channels == 3 else "L")
    transform = v2.Compose([v2.CenterCrop(min(image.size)), v2.Resize(size), v2.PILToTensor()])
    return transform(image)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Return a picture of any mode as 8 bits of colour or grey without transparency."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which do not say what is white")
    if image.mode.startswith("I"):  # Pillow's own conversion cuts off what is above 255
        grey = np.asarray(image).clip(0, 65_535) / 257
        image = Image.fromarray(grey.round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
