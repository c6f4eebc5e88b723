"""Whether maps show what the model went by: against boxes, and by what happens when pixels are taken away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from zoo.analysis.maps import enlarge, normalise
from zoo.interfaces import Batch
from zoo.models.hooks import untouched

__all__ = ["READING", "Box", "box_scores", "pixel_scores"]

READING: Mapping[str, str] = {
    "pointing_game": "high is good; guessing the middle of the image gets pointing_centre",
    "box_iou": "high is good",
    "deletion": "low is good",
    "insertion": "high is good",
    "average_drop": "low is good",
    "increase_in_confidence": "high is good, for classes that are likely",
}
"""How to read a score."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 are outside."""

_STEPS = 10
"""In how many steps pixels are taken away, or put back."""
_BOX_SHARE = 0.2
"""A box is put around what is above this share of a map's maximum, as Zhou et al. do."""


def box_scores(maps: Tensor, boxes: Sequence[Sequence[Box]], *, size: int) -> dict[str, float]:
    """Compare maps with where objects are.

    - `pointing_game`: how often the highest place of a map is inside a box (Zhang et al. 2016).
    - `pointing_centre`: how often the middle of the image is, which takes no map at all.
    - `box_iou`: overlap of the best box with one around the map's largest part above a fifth of its maximum
      (Zhou et al. 2016, section 3.2), intersection over union, on average.

    Args:
        maps: (N, h, w), of the class that is in the boxes.
        boxes: of each image.
        size: height and width of the images in pixels.
    """
    hits = centred = overlap = 0.0
    for small, inside in zip(maps.cpu(), boxes, strict=True):
        large = enlarge(small[None, None], size)[0, 0]
        y, x = divmod(int(large.argmax()), size)
        points = bool((small != small.flatten()[0]).any())  # one that is the same everywhere does not
        hits += points and any(_holds(box, x, y) for box in inside)
        centred += any(_holds(box, size // 2, size // 2) for box in inside)
        drawn = _box_around(large)
        overlap += max((_iou(drawn, box) for box in inside), default=0.0) if drawn else 0.0
    count = max(len(maps), 1)
    return {
        "pointing_game": hits / count,
        "pointing_centre": centred / count,
        "box_iou": overlap / count,
        "boxed_maps": len(maps),
    }


@torch.no_grad()
def pixel_scores(
    model: nn.Module, batches: Iterable[Batch], maps: Tensor, classes: Tensor
) -> dict[str, float]:
    """Watch a class's probability while pixels go, or come back, in the order of its map.

    - `deletion`: mean probability while the highest pixels first become the mean colour; low is faithful.
    - `insertion`: mean probability while the highest first come back to a blurred image; high is faithful
      (both Petsiuk et al. 2018, RISE).
    - `average_drop`, `increase_in_confidence`: of the probability once the image is multiplied with its map:
      the mean share that is lost, and how often it grows (Chattopadhay et al. 2018).

    Args:
        batches: images as the model sees them; zero is then the mean colour.
        maps: (N, K, h, w)
        classes: which class each map is of, (N, K).
    """
    sums: Counter[str] = Counter()
    start = 0
    with untouched(model) as inner:
        for batch in batches:
            images = batch.inputs
            here = slice(start, start + len(images))
            start += len(images)
            for k in range(maps.shape[1]):
                large = normalise(enlarge(maps[here, k : k + 1].to(images.device), images.shape[2]))
                asked = classes[here, k].to(images.device)
                sums.update(_watch(inner, images, large, asked))
    return {name: value / max(classes.numel(), 1) for name, value in sums.items()}


def _watch(model: nn.Module, images: Tensor, maps: Tensor, classes: Tensor) -> Mapping[str, Any]:
    """Return each score summed over some images (B, C, H, W) with maps (B, 1, H, W)."""
    order = (-maps.flatten(1)).argsort(dim=1, stable=True)
    ranks = order.argsort(dim=1).view_as(maps)
    size = images.shape[2]
    blurred = gaussian_blur(images, [size // 4 * 2 + 1] * 2, [size / 10] * 2)
    gone, back = [], []
    for step in range(_STEPS + 1):
        first = ranks < size * size * step // _STEPS
        gone.append(_probability(model, images.masked_fill(first, 0), classes))
        back.append(_probability(model, torch.where(first, images, blurred), classes))
    whole, masked = gone[0], _probability(model, images * maps, classes)
    return {
        "deletion": float(_area(gone).sum()),
        "insertion": float(_area(back).sum()),
        "average_drop": float(((whole - masked).relu() / whole.clamp(min=1e-12)).sum()),
        "increase_in_confidence": float((masked > whole).sum()),
    }


def _probability(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    probabilities: Tensor = model(images).float().softmax(1)
    return probabilities.gather(1, classes[:, None])[:, 0]


def _area(curve: Sequence[Tensor]) -> Tensor:
    """Return the area under a curve over 0 to 1, by trapezoids: (B,)."""
    return torch.trapezoid(torch.stack([*curve]), dx=1 / (len(curve) - 1), dim=0)


def _box_around(large: Tensor) -> Box | None:
    """Return the box of the largest connected part of a map (H, W) above a share of its maximum."""
    above = large > _BOX_SHARE * large.max()
    if not above.any() or above.all():
        return None
    parts = torch.where(above, torch.arange(1, above.numel() + 1).view_as(above).float(), 0.0)
    while True:  # every place takes the highest number among its neighbours, until all of a part have one
        spread = F.max_pool2d(parts[None], 3, 1, 1)[0] * above
        if torch.equal(spread, parts):
            break
        parts = spread
    numbers, counts = parts[above].unique(return_counts=True)
    rows, columns = torch.nonzero(parts == numbers[counts.argmax()], as_tuple=True)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _holds(box: Box, x: int, y: int) -> bool:
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (total - shared)
