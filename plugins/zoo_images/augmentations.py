"""Random augmentation of a batch of images, on the device and for the whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.plugin import Draws, moved


def crop(images: Tensor, draws: Draws) -> Tensor:
    """Pad each side with an eighth of the image size in zeros (4 of 32 pixels), and crop at random."""
    pad = max(1, images.shape[2] // 8)
    return _windows(F.pad(images, (pad, pad, pad, pad)), pad, draws)


def translate(images: Tensor, draws: Draws) -> Tensor:
    """Shift each image by up to a sixteenth (2 of 32 pixels) along each axis, with reflected borders."""
    pad = max(1, images.shape[2] // 16)
    for axis in (2, 3):
        size = images.shape[axis]
        before, after = images.narrow(axis, 1, pad), images.narrow(axis, size - pad - 1, pad)
        images = torch.cat([before.flip(axis), images, after.flip(axis)], axis)
    return _windows(images, pad, draws)


def flip(images: Tensor, draws: Draws) -> Tensor:
    """Flip each image horizontally with probability 0.5."""
    return _mirrored(images, draws.uniform() < 0.5)


def alternating_flip(images: Tensor, draws: Draws) -> Tensor:
    """Flip half of the images horizontally in the first epoch, the other half in the next, and so on.

    Any two consecutive epochs therefore include both orientations of every image, whereas random flips repeat
    the same orientation for half of the images (Jordan 2024, arXiv 2404.00498, section 3.6).
    """
    return _mirrored(images, draws.turns())


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """Set a square around a random pixel to zero (DeVries & Taylor 2017).

    The square is a quarter as wide as the image, and part of it may lie outside the image.
    """
    height, width = images.shape[2:]
    side = max(1, height // 4)
    middles = moved(draws.integers(min(height, width))[:, :, None], images.device)
    down, right = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    rows, columns = down - middles[0] + side // 2, right - middles[1] + side // 2  # from the square's corner
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    return images.masked_fill(inside[:, None], 0)


def _mirrored(images: Tensor, which: Tensor) -> Tensor:
    """Flip the selected images horizontally; `which` contains booleans (B,) on the CPU."""
    flipped = moved(which.nonzero().squeeze(1), images.device)
    images = images.clone()
    images[flipped] = images[flipped].flip(3)
    return images


def _windows(padded: Tensor, pad: int, draws: Draws) -> Tensor:
    """Cut a random window out of each padded image, (B, C, H + 2 pad, W + 2 pad)."""
    count, _, height, width = padded.shape
    windows = padded.unfold(2, height - 2 * pad, 1).unfold(3, width - 2 * pad, 1)
    rows, columns = moved(draws.integers(2 * pad + 1), padded.device)
    return windows[torch.arange(count, device=padded.device), :, rows, columns]
