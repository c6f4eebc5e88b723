"""Find near duplicates among images: copies that are brighter, slightly shifted, recompressed or mirrored.

There are three comparisons, each of fewer pairs and more exact than the one before:

1. All pairs, by thumbnails of 4×4 pixels. With the even part s and the odd part a of a thumbnail under
   mirroring, x·y = s·s' + a·a', and mirroring y changes the sign of a'. Therefore, s·s' + |a·a'| is the
   similarity in the more similar orientation, at the cost of one.
2. By structure, at 16×16 pixels, with shifts of up to one pixel.
3. By structure, at 32×32 pixels, with shifts of up to two pixels.

The structure is a band-pass: an image blurred a little, minus the image blurred more. It does not depend on
brightness, contrast, color cast and slow gradients, which similar photos share by chance, or on the noise of
single pixels, which compression removes. The similarity is the cosine of two structures where they overlap.

See Barz & Denzler 2020, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", J. Imaging 6, for the
kinds of copies that datasets contain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Height and width at which images are compared
SIDE = 32
# Thumbnails of color images, and of gray ones, which have a third of the values: side, and least similarity
_COLOR, _GRAY = (4, 0.91), (6, 0.88)
# Least similarity of the structures at half the height and width
_HALF = 0.3
# Images that are compared with others at a time, and those others
_ROWS, _COLUMNS = 1024, 4096
# Pairs whose structures are compared at a time
_PAIRS = 1024


class Pairs(NamedTuple):
    """Pairs of similar images, the most similar first.

    Attributes:
        numbers: the numbers of both images, (P, 2), the lower first.
        similarity: (P,), at most 1.
        mirrored: whether one is similar to the mirror image of the other, (P,).
    """

    numbers: Tensor
    similarity: Tensor
    mirrored: Tensor


def reduced(images: Tensor) -> Tensor:
    """Return images (B, C, H, W), uint8, at 32×32 pixels, uint8."""
    if images.shape[2:] == (SIDE, SIDE):
        return images
    resized = F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).byte()


def near_duplicates(
    images: Tensor, *, least: float, report: Callable[[int, int], None] = lambda done, total: None
) -> Pairs:
    """Return all pairs of images whose similarity is at least `least`.

    The time grows with the square of the number of images. Exact copies are among the pairs.

    Args:
        images: as `reduced` returns them, (N, C, 32, 32).
        report: called with the number of pairs compared so far, and the total.
    """
    count, (side, alike) = len(images), _COLOR if images.shape[1] == 3 else _GRAY
    thumbnails = torch.cat([_thumbnails(part, side) for part in images.split(_COLUMNS)])
    even = ((thumbnails + thumbnails.flip(3)) / 2).flatten(1)
    odd = ((thumbnails - thumbnails.flip(3)) / 2).flatten(1)
    halves = torch.cat([_structure(F.avg_pool2d(part.float(), 2)).half() for part in images.split(_COLUMNS)])
    found: list[tuple[Tensor, Tensor]] = []
    for top in range(0, count, _ROWS):
        rows, candidates = slice(top, top + _ROWS), list[Tensor]()
        for left in range(top, count, _COLUMNS):
            columns = slice(left, left + _COLUMNS)
            turned = odd[rows] @ odd[columns].T
            similar = (even[rows] @ even[columns].T).add_(turned.abs())
            places = (similar > alike).nonzero()
            mirrored = turned[places[:, 0], places[:, 1]] < 0
            numbers = places + torch.tensor([top, left])
            candidates.append(torch.column_stack([numbers, mirrored])[numbers[:, 0] < numbers[:, 1]])
        for pairs in torch.cat(candidates).split(_PAIRS):
            pairs = pairs[_aligned(halves, pairs, reach=1) >= _HALF]
            chosen, places = pairs[:, :2].unique(return_inverse=True)
            compared = torch.column_stack([places, pairs[:, 2]])
            similarity = _aligned(_structure(images[chosen].float()), compared, reach=2)
            kept = similarity >= least
            found.append((pairs[kept], similarity[kept]))
        report(_pairs(count) - _pairs(max(count - top - _ROWS, 0)), _pairs(count))
    pairs, similarity = (torch.cat(part) for part in zip(*found, strict=True)) if found else _nothing()
    order = similarity.argsort(descending=True, stable=True)
    return Pairs(pairs[order, :2], similarity[order], pairs[order, 2].bool())


def _nothing() -> tuple[Tensor, Tensor]:
    return torch.empty(0, 3, dtype=torch.int64), torch.empty(0)


def _pairs(count: int) -> int:
    return count * (count + 1) // 2


def _thumbnails(images: Tensor, side: int) -> Tensor:
    """Return thumbnails of length 1, without the mean of each channel, (B, C, side, side)."""
    small = F.interpolate(images.float(), (side, side), mode="area")
    small = small - small.mean((2, 3), keepdim=True)
    return F.normalize(small.flatten(1)).view_as(small)


def _structure(images: Tensor) -> Tensor:
    """Return the structure of images at any size, of length 1, (B, C, H, W)."""
    fine, coarse = (1, 3) if images.shape[2] < SIDE else (3, 7)
    structure = _blurred(images, fine) - _blurred(images, coarse)
    return F.normalize(structure.flatten(1)).view_as(structure)


def _blurred(images: Tensor, size: int) -> Tensor:
    border = (size // 2,) * 4
    return F.avg_pool2d(F.pad(images, border, mode="replicate"), size, 1) if size > 1 else images


def _aligned(structures: Tensor, pairs: Tensor, *, reach: int) -> Tensor:
    """Return the highest cosine of each pair of structures, over all shifts by up to `reach` pixels, (P,).

    Args:
        structures: (N, C, H, W)
        pairs: (P, 3), the numbers of two structures, and whether to mirror the second.
    """
    first, second = structures[pairs[:, 0]].float(), structures[pairs[:, 1]].float()
    second = torch.where(pairs[:, 2, None, None, None] > 0, second.flip(3), second)
    best = torch.full((len(pairs),), -1.0)
    shifts = range(-reach, reach + 1)
    for down in shifts:
        for right in shifts:
            one, other = _overlap(first, down, right), _overlap(second, -down, -right)
            lengths = one.square().sum((1, 2, 3)) * other.square().sum((1, 2, 3))
            cosine = (one * other).sum((1, 2, 3)) / lengths.sqrt().clamp(min=1e-12)
            best = torch.maximum(best, cosine)
    return best


def _overlap(images: Tensor, down: int, right: int) -> Tensor:
    """Return the part of images that they share with images which are shifted against them."""
    height, width = images.shape[2:]
    rows = slice(max(0, down), height + min(0, down))
    return images[:, :, rows, max(0, right) : width + min(0, right)]
