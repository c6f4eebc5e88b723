"""Maps as people look at them: from 0 to 1, and as large as the image."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["enlarge", "normalise"]


def normalise(maps: Tensor) -> Tensor:
    """Bring each map (..., h, w) to 0 to 1. One that is the same everywhere becomes zeros."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    span = high - low
    return (maps - low) / span.where(span > 0, 1)


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Resize maps (N, K, h, w) to (N, K, size, size), bilinearly."""
    return F.interpolate(maps, (size, size), mode="bilinear")
