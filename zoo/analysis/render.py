"""Draw heat maps over their images."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.files import style

# Least height and width of an overlay, in pixels, and of the largest tile of a sheet
SMALLEST, _LARGEST = 224, 448
# Pixels that the tiles of a sheet have together, unless they would be smaller or larger than that
_SHEET = 1_600_000
_GAP, _LINE, _TYPE = 10, 19, 14
_RATIO = 4 / 3
# Opacity of a map at its maximum; at its minimum it is transparent
_OPACITY = 0.7


def normalize(maps: Tensor) -> Tensor:
    """Scale each map (..., h, w) to the range 0 to 1; a constant map becomes zeros."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    span = high - low
    return (maps - low) / span.where(span > 0, 1)


def overlay(image: Image.Image, map_: Tensor) -> Image.Image:
    """Draw a map (h, w) over a square image, and return an image of the same size.

    The colors range from the map's lowest to its highest value. A smaller image is enlarged to 224×224
    pixels.
    """
    from matplotlib import colormaps

    side = max(image.width, SMALLEST)
    image = resized(image, side)
    values = Image.fromarray(normalize(map_.float().cpu()).numpy())  # mode F
    heat = np.asarray(values.resize((side, side), Image.Resampling.BICUBIC)).clip(0)
    heat = heat / max(heat.max(), 1.0)  # between its points a bicubic curve may rise above them
    colored = Image.fromarray((colormaps[style.HEAT](heat)[..., :3] * 255).astype(np.uint8))
    return Image.composite(colored, image, Image.fromarray((255 * _OPACITY * heat).astype(np.uint8)))


def panel(image: Image.Image, maps: Tensor, items: Sequence[Mapping[str, Any]], *, side: int) -> Image.Image:
    """Return an image and its overlays as a grid.

    Args:
        image: a square image.
        maps: (K, h, w)
        items: the item of each map, for its caption; see `Findings.items`.
        side: height and width of a tile in pixels.
    """
    image = resized(image, side)
    tiles = [image, *(overlay(image, map_) for map_ in maps)]
    return grid(tiles, captions(items))


def grid(tiles: Sequence[Image.Image], texts: Sequence[tuple[str, ...]]) -> Image.Image:
    """Arrange square tiles of the same size in rows, above their captions.

    Args:
        texts: the caption of each tile, one or two lines, which are cut to the width of the tile.

    Raises ValueError unless each tile has a caption.
    """
    lines = max(map(len, texts))
    return contact_sheet([_captioned(tile, text, lines) for tile, text in zip(tiles, texts, strict=True)])


def _captioned(tile: Image.Image, text: tuple[str, ...], lines: int) -> Image.Image:
    """Return a tile with a gap around it, above the lines of its caption."""
    side, left = tile.width, _GAP // 2
    whole = Image.new("RGB", (side + _GAP, side + lines * _LINE + 2 * _GAP), style.PAPER)
    whole.paste(tile, (left, _GAP))
    draw, font = ImageDraw.Draw(whole), style.font(_TYPE)
    for row, (line, color) in enumerate(zip(text, (style.INK, style.MUTED), strict=False)):
        place = left, _GAP + side + 4 + row * _LINE
        draw.text(place, style.shortened(line, side, _TYPE), color, font)
    return whole


def tile_side(tiles: int) -> int:
    """Return the side length of a sheet's tiles in pixels; with fewer tiles, each one is larger."""
    return max(SMALLEST, min(_LARGEST, math.isqrt(_SHEET // tiles)))


def contact_sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Arrange images of the same size in a grid."""
    width, height = images[0].size
    columns, rows = _columns_and_rows(len(images), width / height)
    sheet = Image.new("RGB", (columns * width, rows * height), style.PAPER)
    for number, image in enumerate(images):
        sheet.paste(image, (number % columns * width, number // columns * height))
    return sheet


def _columns_and_rows(count: int, ratio: float) -> tuple[int, int]:
    """Return the columns and rows that give a grid of such images an aspect ratio near 4:3, with few gaps."""

    def badness(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(ratio * columns / rows / _RATIO)) + (columns * rows - count) / count

    columns = min(range(1, count + 1), key=badness)
    return columns, math.ceil(count / columns)


def resized(image: Image.Image, side: int) -> Image.Image:
    """Resize a square image to this side length, with bicubic interpolation if it is enlarged."""
    how = Image.Resampling.BICUBIC if image.width < side else Image.Resampling.LANCZOS
    return image if image.width == side else image.resize((side, side), how)


def jpeg(image: Image.Image) -> bytes:
    """Return an image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def captions(items: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return a two-line caption for an image, from its items, and one for each of its maps."""
    item = items[0]
    true = "" if item["true"] is None else f": {item['true']}"
    predicted = f"predicted {item['predicted']} ({item['predicted_probability']:.1%})"
    return [(Path(item["input"]).name + true, predicted), *map(_of_map, items)]


def _of_map(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return the caption of a map; the caption of the image already has the predicted class's probability."""
    other = f" ({item['probability']:.1%})" if item["class"] != item["predicted"] else ""
    return f"evidence for {item['map_of']}{other}", f"highest value {item['peak']:.3g}"
