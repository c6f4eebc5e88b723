"""Compensate for classes of different sizes: in the loss, in the choice of images, or in metrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo import DataError


def balanced_weights(images: Any) -> Tensor:
    """Return the weight of each class, (K,): the inverse of its count, scaled to a mean of 1 over all images.

    The weights are those of `class_weight="balanced"` in scikit-learn; classes without images are ignored.

    Source: King & Zeng 2001, Logistic Regression in Rare Events Data, Political Analysis 9.

    Args:
        images: a split with an attribute `labels`, int64 (N,).

    Raises DataError if the split has no such attribute.
    """
    labels = getattr(images, "labels", None)
    if not isinstance(labels, Tensor) or labels.ndim != 1:
        message = "balancing classes requires a training split with a tensor `labels` of shape (N,)"
        raise DataError(message, hint="set class_weights=none and balanced_sampling=false")
    counts = torch.bincount(labels.cpu())
    present = (counts > 0).sum()
    return len(labels) / (present * counts.clamp(min=1)).float()


def balanced_order(images: Any, generator: torch.Generator) -> Tensor:
    """Draw as many images as there are, with replacement, so that all classes are equally likely, (N,)."""
    each = balanced_weights(images).double()[images.labels.cpu()]
    return torch.multinomial(each, len(each), replacement=True, generator=generator)


def balanced_metrics(confusion: Tensor) -> dict[str, float]:
    """Return the metrics to which each class contributes equally, regardless of its number of images.

    The result is empty if all classes with images have the same number of them.

    `balanced_accuracy` is the mean recall of the classes that have images. `macro_f1` is the mean F1 score of
    the classes that have images or predictions. Both are as in scikit-learn.

    Args:
        confusion: counts (K, K), with a row for each label.
    """
    right, counts, guesses = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    if len(counts[counts > 0].unique()) < 2:
        return {}
    recall, f1 = right / counts, 2 * right / (counts + guesses)  # nan for what does not occur
    return {"balanced_accuracy": float(recall.nanmean()), "macro_f1": float(f1.nanmean())}
