"""Random augmentation of a batch of images, on the device and for the whole batch at once.

Each image gets its own draw from a CPU generator, so that results are the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["AUGMENTATIONS", "augment", "crop", "cutout", "flip", "mixup", "translate"]


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crop each image at its own offset after padding it with zeros by an eighth (4 pixels of 32)."""
    pad = max(1, images.shape[2] // 8)
    return _windows(F.pad(images, (pad, pad, pad, pad)), pad, generator)


def translate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to a sixteenth (2 pixels of 32) in both directions, with reflected borders."""
    pad = max(1, images.shape[2] // 16)
    for axis in (2, 3):
        size = images.shape[axis]
        before, after = images.narrow(axis, 1, pad), images.narrow(axis, size - pad - 1, pad)
        images = torch.cat([before.flip(axis), images, after.flip(axis)], axis)
    return _windows(images, pad, generator)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image horizontally with probability one half."""
    flipped = (torch.rand(len(images), generator=generator) < 0.5).nonzero().squeeze(1).to(images.device)
    images = images.clone()
    images[flipped] = images[flipped].flip(3)
    return images


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Set a square, a quarter as wide as the image, around a random pixel to zero (DeVries & Taylor 2017).

    Part of the square may lie outside the image.
    """
    count, _, height, width = images.shape
    side = max(1, height // 4)
    middles = torch.randint(0, min(height, width), (2, count, 1), generator=generator).to(images.device)
    down, right = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    rows, columns = down - middles[0] + side // 2, right - middles[1] + side // 2  # from the square's corner
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    return images.masked_fill(inside[:, None], 0)


def mixup(images: Tensor, labels: Tensor, *, classes: int, alpha: float, seed: int) -> tuple[Tensor, Tensor]:
    """Blend each image, and its label, with the previous one of the batch.

    The weight is one draw from Beta(alpha, alpha) for the whole batch (Zhang et al. 2018, arXiv 1710.09412).

    Args:
        images: (B, C, H, W), floating point.
        labels: (B,), or (B, K) for several labels of an image.

    Returns:
        Images (B, C, H, W), and class probabilities (B, K).
    """
    weight = float(np.random.default_rng(seed).beta(alpha, alpha))
    targets = (F.one_hot(labels, classes) if labels.ndim == 1 else labels).float()
    return images.lerp(images.roll(1, 0), weight), targets.lerp(targets.roll(1, 0), weight)


AUGMENTATIONS: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "crop": crop,
    "cutout": cutout,
    "flip": flip,
    "translate": translate,
}


def augment(images: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """Apply augmentations in order to images (B, C, H, W)."""
    for name in names:
        images = AUGMENTATIONS[name](images, generator)
    return images


def _windows(padded: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """Cut a random window for each image out of (B, C, H + 2 pad, W + 2 pad)."""
    count, _, height, width = padded.shape
    windows = padded.unfold(2, height - 2 * pad, 1).unfold(3, width - 2 * pad, 1)
    rows, columns = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(padded.device)
    return windows[torch.arange(count, device=padded.device), :, rows, columns]
