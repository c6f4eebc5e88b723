"""Test-time augmentation: a classifier that averages its predictions for several views of each image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mean_of_softmaxes(logits: Tensor) -> Tensor:
    """Return the logarithm of the mean softmax, (B, K), of logits (views, B, K)."""
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def mean_of_sigmoids(logits: Tensor) -> Tensor:
    """Return the logits, (B, K), whose sigmoids are the mean sigmoids of logits (views, B, K)."""
    return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)


class Views(nn.Module):
    """A classifier that averages probabilities over six views of each image.

    The views are the image, and the image shifted by 1/32 of its size (1 pixel of 32) toward one corner and
    toward the opposite corner, with reflected borders; each of the three is used unchanged and mirrored.
    Source: the fast.ai lesson's test-time augmentation; Jordan 2024, arXiv 2404.00498, section 3.

    Args:
        mean: computes logits (B, K) whose probabilities are the mean of those of logits (views, B, K).
    """

    def __init__(self, model: nn.Module, mean: Callable[[Tensor], Tensor] = mean_of_softmaxes) -> None:
        super().__init__()
        self.model = model
        self.mean = mean

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        height, width = images.shape[2:]
        pad = max(1, height // 32)
        padded = F.pad(images, (pad, pad, pad, pad), mode="reflect")
        shifted = [padded[:, :, at : at + height, at : at + width] for at in (0, 2 * pad)]
        views = [view for shift in (images, *shifted) for view in (shift, shift.flip(3))]
        return self.mean(torch.stack([self.model(view) for view in views]))
