"""Random changes to a batch of images, done on the device for the whole batch at once.

Every image gets its own draw. Draws come from a CPU generator, so that they are the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.specs import Augmentation

__all__ = ["AUGMENTATIONS", "augment", "crop", "flip"]


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pad by an eighth with zeros (4 pixels of 32) and cut each image back to size at its own offset."""
    count, _, height, width = images.shape
    pad = max(1, height // 8)
    padded = F.pad(images, (pad, pad, pad, pad))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2·pad+1, 2·pad+1, H, W), a view
    rows, columns = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(images.device)
    return windows[torch.arange(count, device=images.device), :, rows, columns]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(3), images)


AUGMENTATIONS: Mapping[Augmentation, Callable[[Tensor, torch.Generator], Tensor]] = {
    "crop": crop,
    "flip": flip,
}


def augment(images: Tensor, names: Sequence[Augmentation], generator: torch.Generator) -> Tensor:
    """Apply augmentations in order. `images` is (B, C, H, W); so is the result."""
    for name in names:
        images = AUGMENTATIONS[name](images, generator)
    return images
