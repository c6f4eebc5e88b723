"""Maps drawn over their images."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.analysis.maps import enlarge, normalize

__all__ = ["contact_sheet", "overlay", "png"]

# Height and width of each image in a picture, in pixels
_TILE = 224
_GAP = 8
_LINE = 20
# Opacity of a map at its maximum; at its minimum it is transparent
_OPACITY = 0.7


def overlay(image: Tensor, maps: Tensor, items: Sequence[dict[str, Any]]) -> Image.Image:
    """Return a picture with a row for each class: the image, the map, the map over the image, a caption.

    Args:
        image: uint8 (C, H, W), 1 or 3 channels.
        maps: (K, h, w)
        items: the item of each map, for its caption; see `Findings.items`.
    """
    tile = _tile(image)
    heat = normalize(enlarge(maps[None].float().cpu(), _TILE))[0].numpy()  # (K, tile, tile)
    height = _TILE + 2 * _LINE + _GAP
    picture = Image.new("RGB", (3 * _TILE + 4 * _GAP, len(items) * height + _GAP), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for row, (item, values) in enumerate(zip(items, heat, strict=True)):
        top = _GAP + row * height
        colored = _colored(values)
        blend = Image.composite(colored, tile, Image.fromarray((255 * _OPACITY * values).astype(np.uint8)))
        for column, part in enumerate((tile, colored, blend)):
            picture.paste(part, (_GAP + column * (_TILE + _GAP), top))
        for number, line in enumerate(_caption(item)):
            draw.text((_GAP, top + _TILE + 2 + number * _LINE), line, "black", font)
    return picture


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures of one size in a grid that is about square."""
    width, height = pictures[0].size
    columns = max(1, round(math.sqrt(len(pictures) * height / width)))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet


def png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _caption(item: dict[str, Any]) -> tuple[str, str]:
    true = f"   is {item['true']}" if item["true"] is not None else ""
    name = Path(item["input"]).name
    return (
        f"{name}: map of {item['map_of']} ({item['probability']:.1%}), up to {item['peak']:.3g}",
        f"predicted {item['predicted']} ({item['predicted_probability']:.1%}){true}",
    )


def _tile(image: Tensor) -> Image.Image:
    """Turn uint8 (C, H, W) into a picture; small images keep sharp pixel edges."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()
    how = Image.Resampling.NEAREST if max(image.shape[1:]) < _TILE else Image.Resampling.BILINEAR
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((_TILE, _TILE), how)


def _colored(heat: np.ndarray[Any, Any]) -> Image.Image:
    """Turn values from 0 to 1, (H, W), into a picture from dark blue to yellow."""
    from matplotlib import colormaps

    return Image.fromarray((colormaps["viridis"](heat)[..., :3] * 255).astype(np.uint8))
