"""Pictures of any size, mode and direction as bytes of one size."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from zoo.errors import DataError

__all__ = ["MAX_PIXELS", "SUFFIXES", "decode", "read_picture"]

FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a picture for. It knows others that start programs, such as Ghostscript for EPS."""

SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
"""Files that end otherwise are no pictures. HEIC ones are, and are refused where Pillow cannot read them."""

MAX_PIXELS = 2**26
"""As many as 8192 x 8192 have, 256 MiB decoded. Of what is larger still, Pillow at first only warns."""

STRIP_PIXELS = 2**20
"""What is converted at a time: copies of a whole picture in other modes take several times its memory."""


def read_picture(path: Path, *, size: int, channels: int) -> tuple[Tensor, bytes]:
    """Return a picture as uint8 (channels, size, size), as `decode` makes it, and the file's bytes.

    Raises DataError naming the file and saying why it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading it might never end
            raise ValueError("it is no regular file but a pipe or a device")
        content = path.read_bytes()
        if not content:
            raise ValueError("it is empty")
        return decode(content, size=size, channels=channels), content
    except UnidentifiedImageError:
        why = "it is in no format that is known here"
    except Image.DecompressionBombError:
        why = f"it has more than {MAX_PIXELS:,} pixels"
    except Exception as error:  # Pillow raises of every kind for a damaged picture
        why = str(error).split("\n")[0]
    raise DataError(f"{path} cannot be read as a picture: {why}", hint="mend it, or take it out")


def decode(content: bytes, *, size: int, channels: int) -> Tensor:
    """Return an encoded picture as uint8 (channels, size, size): its middle square, resized.

    It is turned upright as its EXIF says. What is transparent lies on white, 16 bits of grey are scaled to 8,
    and of an animation the first frame is taken. Raises whatever Pillow raises for a damaged picture,
    DecompressionBombError for one whose header tells of more than MAX_PIXELS, and ValueError for one of
    floating-point numbers or a single pixel.
    """
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # not every Pillow has AVIF; HEIF is an add-on
    with Image.open(io.BytesIO(content), formats=formats) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if opened.size == (1, 1):
            raise ValueError("it is a single pixel, and there is nothing to see in it")
        opened.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
        ImageOps.exif_transpose(opened, in_place=True)
        return F.pil_to_tensor(_middle_square(opened, size, "RGB" if channels == 3 else "L"))


def _middle_square(image: Image.Image, size: int, mode: str) -> Image.Image:
    """Return the middle square in a mode, resized: in width strip by strip, then in height.

    Pillow resizes in this order too, with 8 bits in between, so the strips change no pixel.
    """
    side = min(image.size)
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    narrow = Image.new(mode, (size, side))
    rows = max(STRIP_PIXELS // side, 1)
    for start in range(0, side, rows):
        end = min(start + rows, side)
        strip = _flat(image.crop((left, top + start, left + side, top + end)), mode)
        narrow.paste(strip.resize((size, end - start), Image.Resampling.BILINEAR), (0, start))
    return narrow.resize((size, size), Image.Resampling.BILINEAR)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Return a picture of any mode as 8 bits of colour or grey without transparency."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which do not say what is white")
    if image.mode.startswith("I"):  # Pillow's own conversion cuts off what is above 255
        grey = np.asarray(image).astype(np.int32).clip(0, 65_535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
