"""Mixup: images and labels blended in pairs."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def mixup(images: Tensor, labels: Tensor, *, classes: int, alpha: float, seed: int) -> tuple[Tensor, Tensor]:
    """Blend each image and its label with the previous image in the batch and its label.

    The weight is one draw from Beta(alpha, alpha) for the whole batch (Zhang et al. 2018, arXiv 1710.09412).

    Args:
        images: (B, C, H, W), floating point.
        labels: (B,), or (B, K) for multi-label data.

    Returns:
        Images (B, C, H, W), and class probabilities (B, K).
    """
    weight = float(np.random.default_rng(seed).beta(alpha, alpha))
    targets = (F.one_hot(labels, classes) if labels.ndim == 1 else labels).float()
    return images.lerp(images.roll(1, 0), weight), targets.lerp(targets.roll(1, 0), weight)
