"""Random augmentation of a batch of images, on the device and for the whole batch at once.

A CPU generator produces separate random numbers for each image, so results are the same on every device and
for any number of processes that share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.devices import moved


class Draws:
    """Random numbers for some images of a batch.

    The numbers for an image do not depend on which other images are requested.

    Args:
        generator: a CPU generator.
        count: number of images in the whole batch.
        places: indices (n,) of the images to generate numbers for; by default, all images.
        turns: booleans (count,), True for each image of the whole batch to mirror in this epoch, if flips
            alternate; by default, images are mirrored at random.
    """

    def __init__(
        self,
        generator: torch.Generator,
        count: int,
        places: Tensor | None = None,
        turns: Tensor | None = None,
    ) -> None:
        self._generator, self._count, self._turns = generator, count, turns
        self._places = slice(None) if places is None else places

    def turns(self) -> Tensor:
        """Return booleans (n,), True for each image to mirror in this epoch."""
        return self.uniform() < 0.5 if self._turns is None else self._turns[self._places]

    def uniform(self) -> Tensor:
        """Return random numbers (n,) in [0, 1)."""
        return torch.rand(self._count, generator=self._generator)[self._places]

    def integers(self, end: int) -> Tensor:
        """Return random pairs of integers (2, n) from 0 to `end` - 1."""
        return torch.randint(0, end, (2, self._count), generator=self._generator)[:, self._places]


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


AUGMENTATIONS: Mapping[str, Callable[[Tensor, Draws], Tensor]] = {
    "alternating-flip": alternating_flip,
    "crop": crop,
    "cutout": cutout,
    "flip": flip,
    "translate": translate,
}


def augment(images: Tensor, names: Sequence[str], draws: Draws) -> Tensor:
    """Apply augmentations in order to images (B, C, H, W)."""
    for name in names:
        images = AUGMENTATIONS[name](images, draws)
    return images


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
