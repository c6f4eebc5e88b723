"""Compute a confusion matrix of pixels, and from it the intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["confusion_of", "iou_by_class", "overlaps"]


def confusion_of(targets: Tensor, predicted: Tensor, *, classes: int) -> Tensor:
    """Return the numbers of pixels `[class][predicted]`, int64 (K, K).

    Args:
        targets: the class of each pixel, or -1 where it is unknown; unknown pixels are not counted.
        predicted: the predicted class of each pixel, of the same shape.
    """
    known = targets >= 0
    pairs = targets[known] * classes + predicted[known]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def iou_by_class(confusion: Tensor) -> Tensor:
    """Return each class's intersection over union, (K,); NaN for a class neither present nor predicted."""
    confusion = confusion.double()
    both = confusion.diagonal()
    return both / (confusion.sum(0) + confusion.sum(1) - both)


def overlaps(confusion: Tensor) -> dict[str, float]:
    """Return `iou`, the mean over the classes that are present or predicted, and `pixel_accuracy`."""
    ious, total = iou_by_class(confusion), int(confusion.sum())
    if not total:
        return {"iou": 0.0, "pixel_accuracy": 0.0}
    return {"iou": float(ious.nanmean()), "pixel_accuracy": int(confusion.diagonal().sum()) / total}
