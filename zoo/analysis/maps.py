"""Maps made comparable with images: values from 0 to 1, and as many pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["enlarge", "normalize"]


def normalize(maps: Tensor) -> Tensor:
    """Scale each map (..., h, w) to the range 0 to 1; a constant map becomes zeros."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    span = high - low
    return (maps - low) / span.where(span > 0, 1)


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Resize maps (N, K, h, w) to (N, K, size, size), bilinearly."""
    return F.interpolate(maps, (size, size), mode="bilinear")
