"""Measure whether maps show the pixels that the model relies on: compare maps with boxes, and mask pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.analysis.findings import Findings
from zoo.analysis.render import normalize
from zoo.errors import OptionError
from zoo.interfaces import Batch, Box
from zoo.models.hooks import untouched

# How to read each score
READING: Mapping[str, str] = {
    "pointing_game": "higher is better; pointing_center is the score of always pointing at the center",
    "box_iou": "higher is better",
    "deletion": "lower is better",
    "insertion": "higher is better",
    "average_drop": "lower is better",
    "increase_in_confidence": "higher is better if the class is likely",
}

# Steps in which all pixels are removed, or restored
_STEPS = 10
# Fraction of a map's maximum; a box is drawn around what exceeds it (Zhou et al. 2016).
_BOX_THRESHOLD = 0.2


def faithfulness(findings: Findings, model: nn.Module) -> dict[str, float]:
    """Return all scores of an analysis's maps, including box scores if the class of a map has boxes.

    Raises OptionError if the analyzer does not draw maps.
    """
    inputs, maps, classes = findings.inputs, findings.analysis.maps, findings.analysis.classes
    if maps is None or classes is None:
        raise OptionError(f"score requires heat maps, but {findings.facts['analyzer']} does not draw any")
    scores = pixel_scores(model, inputs, maps, classes, probabilities=inputs.task.probabilities)
    boxed = [
        (maps[number, k], boxes[label])
        for number, boxes in enumerate(inputs.boxes or ())
        for k, label in enumerate(classes[number].tolist())
        if label in boxes
    ]
    if not boxed:
        return scores
    own_maps, own_boxes = zip(*boxed, strict=True)
    return scores | box_scores(
        torch.stack(own_maps), own_boxes, size=int(inputs.card.arguments["image_size"])
    )


def box_scores(maps: Tensor, boxes: Sequence[Sequence[Box]], *, size: int) -> dict[str, float]:
    """Compare maps with object boxes.

    - `pointing_game`: fraction of maps whose maximum is inside a box (Zhang et al. 2016).
    - `pointing_center`: fraction of images whose center is inside a box, a baseline that needs no map.
    - `box_iou`: mean intersection over union of the best-matching box and the box around the largest
      connected part of the map above a fifth of its maximum (Zhou et al. 2016, section 3.2).

    Args:
        maps: (N, h, w), each for the class of the objects in the boxes.
        boxes: the boxes of each image.
        size: height and width of the images in pixels.
    """
    from torchvision.ops import box_iou  # seconds to import

    hits = centered = overlap = 0.0
    for small, image_boxes in zip(maps.cpu(), boxes, strict=True):
        large = enlarge(small[None, None], size)[0, 0]
        y, x = divmod(int(large.argmax()), size)
        points = bool((small != small.flatten()[0]).any())  # a constant map does not
        hits += points and any(_contains(box, x, y) for box in image_boxes)
        centered += any(_contains(box, size // 2, size // 2) for box in image_boxes)
        drawn = _box_around(large)
        if drawn and image_boxes:
            corners = torch.tensor([drawn, *image_boxes]).double()
            overlap += float(box_iou(corners[:1], corners[1:]).max())
    count = max(len(maps), 1)
    return {
        "pointing_game": hits / count,
        "pointing_center": centered / count,
        "box_iou": overlap / count,
        "boxed_maps": len(maps),
    }


@torch.no_grad()
def pixel_scores(
    model: nn.Module,
    batches: Iterable[Batch],
    maps: Tensor,
    classes: Tensor,
    *,
    probabilities: Callable[[Tensor], Tensor],
) -> dict[str, float]:
    """Measure a class's probability as pixels are removed or restored in the order given by its map.

    - `deletion`: mean probability as pixels are set to the mean color, in descending order of the map; lower
      is more faithful.
    - `insertion`: mean probability as pixels are restored in a blurred image, in descending order of the map;
      higher is more faithful (both scores from Petsiuk et al. 2018, RISE).
    - `average_drop`, `increase_in_confidence`: for the image multiplied by its map, the mean fraction of the
      probability that is lost, and the fraction of images for which the probability increases (Chattopadhay
      et al. 2018).

    Args:
        batches: normalized images, in which zero is the mean color.
        maps: (N, K, h, w)
        classes: the class of each map, (N, K).
        probabilities: computes probabilities from logits (B, classes), such as `Task.probabilities`.
    """
    sums: Counter[str] = Counter()
    start = 0
    with untouched(model) as inner:

        def answer(images: Tensor, classes: Tensor) -> Tensor:
            return probabilities(inner(images).float()).gather(1, classes[:, None])[:, 0]

        for batch in batches:
            images = batch.inputs
            here = slice(start, start + len(images))
            start += len(images)
            for k in range(maps.shape[1]):
                large = normalize(enlarge(maps[here, k : k + 1].to(images.device), images.shape[2]))
                sums.update(_sums(answer, images, large, classes[here, k].to(images.device)))
    return {name: value / max(classes.numel(), 1) for name, value in sums.items()}


def _sums(
    answer: Callable[[Tensor, Tensor], Tensor], images: Tensor, maps: Tensor, classes: Tensor
) -> Mapping[str, Any]:
    """Return each score summed over a batch of images (B, C, H, W) with maps (B, 1, H, W)."""
    from torchvision.transforms.v2.functional import gaussian_blur  # seconds to import

    order = (-maps.flatten(1)).argsort(dim=1, stable=True)
    ranks = order.argsort(dim=1).view_as(maps)
    size = images.shape[2]
    blurred = gaussian_blur(images, [size // 4 * 2 + 1] * 2, [size / 10] * 2)
    deleted, inserted = [], []
    for step in range(_STEPS + 1):
        first = ranks < size * size * step // _STEPS
        deleted.append(answer(images.masked_fill(first, 0), classes))
        inserted.append(answer(torch.where(first, images, blurred), classes))
    whole, masked = deleted[0], answer(images * maps, classes)
    return {
        "deletion": float(torch.trapezoid(torch.stack(deleted), dx=1 / _STEPS, dim=0).sum()),
        "insertion": float(torch.trapezoid(torch.stack(inserted), dx=1 / _STEPS, dim=0).sum()),
        "average_drop": float(((whole - masked).relu() / whole.clamp(min=1e-12)).sum()),
        "increase_in_confidence": float((masked > whole).sum()),
    }


def _box_around(large: Tensor) -> Box | None:
    """Return the box of the largest connected part of a map (H, W) above a fraction of its maximum."""
    above = large > _BOX_THRESHOLD * large.max()
    if not above.any() or above.all():
        return None
    parts = torch.where(above, torch.arange(1, above.numel() + 1).view_as(above).float(), 0.0)
    while True:  # each pixel takes the highest number among its neighbors until a part shares one number
        spread = F.max_pool2d(parts[None], 3, 1, 1)[0] * above
        if torch.equal(spread, parts):
            break
        parts = spread
    numbers, counts = parts[above].unique(return_counts=True)
    rows, columns = torch.nonzero(parts == numbers[counts.argmax()], as_tuple=True)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Resize maps (N, K, h, w) to (N, K, size, size), bilinearly."""
    return F.interpolate(maps, (size, size), mode="bilinear")


def _contains(box: Box, x: int, y: int) -> bool:
    return box[0] <= x < box[2] and box[1] <= y < box[3]
