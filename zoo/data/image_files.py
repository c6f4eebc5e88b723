"""Decode image files of any format, size and mode to uint8 arrays of the same size. Torch-free."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import DataError, OptionError, first_line
from zoo.files.regular import read_regular
from zoo.processors import InputReader

# uint8 (channels, size, size)
Pixels = NDArray[np.uint8]

# Formats that Pillow may try. It knows others that start programs, such as Ghostscript for EPS.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

# Suffixes of image files; other files are ignored. HEIC is an error where Pillow cannot read it.
IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip

# 8192 x 8192, or 256 MiB decoded. Pillow's own limit is higher, and at first it only warns.
MAX_PIXELS = 2**26

# 1 GiB: twice what so many pixels take in the largest mode, 16-bit color with transparency, uncompressed
MAX_BYTES = 2**30

# Passes over all pixels of a JPEG, each of which may take a few bytes; progressive ones have about ten. The
# second limit is the number of pixels in all passes.
MAX_SCANS, MAX_SCANNED = 100, 2**30

# Before the pixels, where Pillow parses in Python: how often a file is read from, and bytes. Profiles,
# previews and the layers of Photoshop take megabytes, in few pieces.
HEADER_READS, HEADER_BYTES = 10_000, 2**22

# The same for the pixels and what follows them. A GIF takes two for 255 bytes.
MAX_READS = 2**18

# What a JPEG segment holds. Pillow parses it in full for one number
MAX_EXIF = 2**16

# Pillow parses a plain PPM, whose pixels are text, in Python, and copies the rest of it for each comment
MAX_COMMENTS, MAX_PLAIN_BYTES = 100, 2**21

# Pixels converted at a time: copies of a whole image in other modes take several times its memory
STRIP_PIXELS = 2**20

# Where a scan of a JPEG begins; what is compressed never has these two bytes in a row
_SCAN = b"\xff\xda"


def read_image(path: Path, *, size: int, channels: int) -> tuple[Pixels, bytes]:
    """Return an image as uint8 (channels, size, size), like `decode`, and the bytes of its file.

    Raises DataError if the file cannot be read.
    """
    with _explained(path):
        content = read_regular(path, most=MAX_BYTES)
        return decode(content, size=size, channels=channels), content


def image_reader(*, size: int, channels: int) -> InputReader:
    """Return the reader of a model's images: it calls `as_image`, and returns -1 in place of the label.

    Its `picture` is `read_square`.
    """

    def read(source: Any) -> tuple[Pixels, int]:
        return as_image(source, size=size, channels=channels), -1

    def notice(source: Any) -> str:
        if _size_of(source) in (None, (size, size)):
            return ""
        return f"images of other sizes are cropped to the central square and resized to {size}×{size} pixels"

    return InputReader(
        read=read, what="images", suffixes=IMAGE_SUFFIXES, notice=notice, refuse=_refuse, picture=read_square
    )


def _refuse(path: Path) -> str:
    """Return why a file is not an image, based on its suffix and content; empty if it may be one."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        with suppress(OSError):  # reading it again says why
            return "" if pixels_of(read_regular(path, most=MAX_BYTES)) else "not an image"
    return ""


def as_image(source: Any, *, size: int, channels: int) -> Pixels:
    """Return an image as uint8 (channels, size, size), like `decode`.

    Args:
        source: the path or the bytes of a file; a Pillow image; or uint8 values: a NumPy array, (H, W) or (H,
            W, 1, 3 or 4), or a torch tensor, (H, W) or (1, 3 or 4, H, W).

    Raises:
        DataError: a file cannot be read, or an image has no pixels or an unsupported type.
        OptionError: the source is of any other type or shape.
    """
    return _pixels(_square_of(source, size, "RGB" if channels == 3 else "L"))


def read_square(source: Any, at_most: int) -> Image.Image:
    """Return the central square of an image in color, at the image's resolution.

    A square of more than `at_most` pixels per side is scaled down.

    Args:
        source: as in `as_image`.

    Raises the same errors as `as_image`.
    """
    return _square_of(source, at_most, "RGB", enlarge=False)


def _pixels(square: Image.Image) -> Pixels:
    """Convert a gray or color square to an array, (1 or 3, size, size)."""
    return np.array(square).reshape(*square.size, -1).transpose(2, 0, 1)


def _square_of(source: Any, size: int, mode: str, *, enlarge: bool = True) -> Image.Image:
    """Return the central square of any image, resized and converted to a mode.

    Raises the same errors as `as_image`.
    """
    if isinstance(source, str | Path | bytes):
        with _explained("the input" if isinstance(source, bytes) else source):
            content = source if isinstance(source, bytes) else read_regular(source, most=MAX_BYTES)
            return _square(content, size, mode, enlarge=enlarge)
    image = source if isinstance(source, Image.Image) else _image(source)
    try:
        if not min(image.size):
            raise ValueError("it has no pixels")
        upright = ImageOps.exif_transpose(image)
        return _central_square(upright, size if enlarge else min(size, *upright.size), mode)
    except (ValueError, OSError, SyntaxError) as error:  # Pillow decodes a file that it opened only now
        raise DataError(f"the image cannot be read: {str(error).partition(chr(10))[0]}") from None


def _image(source: Any) -> Image.Image:
    """Convert numbers to an image. Raises OptionError unless `as_image` accepts them."""
    torch: Any = sys.modules.get("torch")  # where it is not imported, nothing is a tensor
    is_tensor = torch is not None and isinstance(source, torch.Tensor)
    if not (is_tensor or isinstance(source, np.ndarray)):
        kinds = "the path or the bytes of an image, a Pillow image, or a uint8 array or tensor"
        raise OptionError(f"expected {kinds} (got a {type(source).__name__})")
    if str(source.dtype).removeprefix("torch.") != "uint8":
        hint = "multiply values from 0 to 1 by 255, round them, and convert them to uint8"
        raise OptionError(f"image values must be uint8 (got {source.dtype})", hint=hint)
    if is_tensor:
        pixels: NDArray[Any] = cast("Any", source).detach().cpu().numpy()
        pixels = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels
        wanted = "(H, W) or (1, 3 or 4, H, W)"
    else:
        pixels, wanted = source, "(H, W) or (H, W, 1, 3 or 4)"
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        hint = "pass several images as a list"
        raise OptionError(f"an image must have the shape {wanted} (got {tuple(source.shape)})", hint=hint)
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    if not pixels.size:
        raise DataError("the image cannot be read: it has no pixels")
    return Image.fromarray(np.ascontiguousarray(pixels))


@contextmanager
def _explained(what: object) -> Generator[None]:
    """Convert errors from reading or decoding an image to DataError."""
    try:
        yield
        return
    except UnidentifiedImageError:
        why = "its format is unknown or not supported"
    except Image.DecompressionBombError:
        why = f"it has more than {MAX_PIXELS:,} pixels"
    except OSError as error:
        why = error.strerror or first_line(error)
    except Exception as error:  # Pillow raises all kinds of exceptions for a damaged image
        why = first_line(error)
    raise DataError(f"{what} cannot be read as an image: {why}", hint="replace or delete it") from None


def decode(content: bytes, *, size: int, channels: int) -> Pixels:
    """Return an encoded image as uint8 (channels, size, size): its central square, resized.

    The image is rotated according to its EXIF data. Transparent pixels are blended with white, 16-bit gray is
    scaled to 8 bits, and only the first frame of an animation is used.

    Raises:
        DecompressionBombError: the image has more than MAX_PIXELS pixels, according to its header.
        ValueError: the pixels are floating-point numbers, there is only one pixel, the file has too many
            pieces, scans or comments, or there is too much EXIF data or other data before the pixels.
        Exception: any other error that Pillow raises for a damaged image.
    """
    return _pixels(_square(content, size, "RGB" if channels == 3 else "L"))


def pixels_of(content: bytes) -> int:
    """Return an encoded image's number of pixels, according to its header; 0 if the header cannot be read."""
    try:
        with _opened(content) as opened:
            return opened.width * opened.height
    except Exception:  # `decode` says why
        return 0


def _size_of(source: Any) -> tuple[int, int] | None:
    """Return an image's width and height, of a file from its header; None if `as_image` cannot read it."""
    try:
        if isinstance(source, str | Path | bytes):
            with _opened(
                source if isinstance(source, bytes) else read_regular(source, most=MAX_BYTES)
            ) as image:
                return image.size
        return source.size if isinstance(source, Image.Image) else _image(source).size
    except Exception:  # `as_image` says why
        return None


def _opened(content: bytes) -> Image.Image:
    Image.preinit()  # the decoders of the most common formats, in a fifth of the time that all of them take
    try:
        return _identified(content)
    except UnidentifiedImageError:
        Image.init()
        return _identified(content)


def _identified(content: bytes) -> Image.Image:
    formats = [name for name in FORMATS if name in Image.OPEN]  # not every Pillow has AVIF; HEIF is an add-on
    file = _Pieces(content)
    opened = Image.open(file, formats=formats)
    file.has_opened = True
    return opened


class _Pieces(io.BytesIO):
    """An encoded image with a bounded number of reads.

    Each segment, chunk, tag or comment costs a read.
    """

    has_opened = False
    _reads = _bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._reads += 1
        if size is not None and size >= 0:  # what is read to the end is not parsed in Python
            self._bytes += len(found)
        if not self.has_opened and (self._reads > HEADER_READS or self._bytes > HEADER_BYTES):
            most = f"more than {HEADER_READS:,} reads or {HEADER_BYTES:,} bytes"
            raise ValueError(f"too much data precedes its pixels ({most})")
        if self._reads > MAX_READS:
            raise ValueError(f"decoding it takes more than {MAX_READS:,} reads")
        return found


def _square(content: bytes, size: int, mode: str, *, enlarge: bool = True) -> Image.Image:
    """Return the central square of an encoded image, resized and converted to a mode.

    Raises the same errors as `decode`.
    """
    if not content:
        raise ValueError("it is empty")
    with _opened(content) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if opened.size == (1, 1):
            raise ValueError("it has a single pixel")
        scans = min(MAX_SCANS, MAX_SCANNED // (opened.width * opened.height))
        if opened.format in ("JPEG", "MPO") and content.count(_SCAN) > scans:
            raise ValueError(f"it has more than {scans} scans")
        if content[:2] in (b"P1", b"P2", b"P3"):
            if content.count(b"#") > MAX_COMMENTS:
                raise ValueError(f"it has more than {MAX_COMMENTS} comments")
            if len(content) > MAX_PLAIN_BYTES:
                raise ValueError(f"its pixels are more than {MAX_PLAIN_BYTES:,} bytes of text")
        opened.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
        _turn_upright(opened)
        return _central_square(opened, size if enlarge else min(size, *opened.size), mode)


def _turn_upright(image: Image.Image) -> None:
    """Rotate an image according to its EXIF data.

    Raises ValueError if there is too much EXIF data to parse.
    """
    image.load()  # a PNG may have it after the pixels
    for name in ("exif", "Raw profile type exif"):
        if len(image.info.get(name, "")) > MAX_EXIF:
            raise ValueError(f"it has more than {MAX_EXIF:,} bytes of EXIF data")
    image.getexif()  # remembered, so that Pillow does not write it again, which fails if it is odd
    image.info = {name: value for name, value in image.info.items() if "exif" not in str(name)}
    ImageOps.exif_transpose(image, in_place=True)


def _central_square(image: Image.Image, size: int, mode: str) -> Image.Image:
    """Return the central square, converted to a mode; resize its width strip by strip, and then its height.

    Pillow also resizes in this order and rounds to 8 bits in between, so using strips does not change any
    pixel.
    """
    if image.size == (size, size):
        return _flat(image, mode)
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
    """Return an image of any mode as 8-bit color or gray without transparency."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # Pillow's own conversion clips values above 255
        gray = np.asarray(image).astype(np.int32).clip(0, 65_535)
        image = Image.fromarray(((gray + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != mode:
        return image.convert(mode)
    image.load()  # before its file is closed
    return image
