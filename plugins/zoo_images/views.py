"""Test-time augmentation: a classifier that averages its answers to several views of each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Views"]


class Views(nn.Module):
    """A classifier whose answer is the mean probability over six views of each image.

    The views are the image, and the image shifted by 1/32 of its size (1 pixel of 32) towards one corner and
    towards the opposite one, with reflected borders; each of the three as it is and mirrored. Source:
    test-time augmentation of the lesson; Jordan 2024, arXiv 2404.00498, section 3.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to log-probabilities (B, K)."""
        height, width = images.shape[2:]
        pad = max(1, height // 32)
        padded = F.pad(images, (pad, pad, pad, pad), mode="reflect")
        shifted = [padded[:, :, at : at + height, at : at + width] for at in (0, 2 * pad)]
        views = [view for shift in (images, *shifted) for view in (shift, shift.flip(3))]
        answers = torch.stack([self.model(view).log_softmax(1) for view in views])
        return answers.logsumexp(0) - math.log(len(views))
