"""Random augmentation of a batch of images, on the device and for the whole batch at once.

Each image has separate random numbers from a CPU generator, so results are the same on every device, and for
any number of processes that divide a batch.
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
        places: the images to generate numbers for, as integers (n,); by default, all.
        turns: which images of the whole batch are mirrored in this epoch, if flips alternate, as booleans
            (count,); by default, random.
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
        """Return which images are mirrored in this epoch, as booleans (n,)."""
        return self.uniform() < 0.5 if self._turns is None else self._turns[self._places]

    def uniform(self) -> Tensor:
        """Return random numbers (n,) in [0, 1)."""
        return torch.rand(self._count, generator=self._generator)[self._places]

    def integers(self, end: int) -> Tensor:
        """Return random pairs of integers (2, n) from 0 to `end` - 1."""
        return torch.randint(0, end, (2, self._count), generator=self._generator)[:, self._places]


def crop(images: Tensor, draws: Draws) -> Tensor:
    """Crop each image at its own offset after padding it with zeros by an eighth (4 pixels of 32)."""
    pad = max(1, images.shape[2] // 8)
    return _windows(F.pad(images, (pad, pad, pad, pad)), pad, draws)


def translate(images: Tensor, draws: Draws) -> Tensor:
    """Shift each image by up to a sixteenth (2 pixels of 32) in both directions, with reflected borders."""
    pad = max(1, images.shape[2] // 16)
    for axis in (2, 3):
        size = images.shape[axis]
        before, after = images.narrow(axis, 1, pad), images.narrow(axis, size - pad - 1, pad)
        images = torch.cat([before.flip(axis), images, after.flip(axis)], axis)
    return _windows(images, pad, draws)


def flip(images: Tensor, draws: Draws) -> Tensor:
    """Flip each image horizontally with probability one half."""
    return _mirrored(images, draws.uniform() < 0.5)


def alternating_flip(images: Tensor, draws: Draws) -> Tensor:
    """Flip each image horizontally in every second epoch, starting with half of the images in the first.

    Any two consecutive epochs therefore show both sides of every image, whereas random flips show half of the
    images twice from the same side (Jordan 2024, arXiv 2404.00498, section 3.6).
    """
    return _mirrored(images, draws.turns())


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """Set a square, a quarter as wide as the image, around a random pixel to zero (DeVries & Taylor 2017).

    Part of the square may lie outside the image.
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
    """Flip some images horizontally; `which` are booleans (B,) on the CPU."""
    flipped = moved(which.nonzero().squeeze(1), images.device)
    images = images.clone()
    images[flipped] = images[flipped].flip(3)
    return images


def _windows(padded: Tensor, pad: int, draws: Draws) -> Tensor:
    """Cut a random window for each image out of (B, C, H + 2 pad, W + 2 pad)."""
    count, _, height, width = padded.shape
    windows = padded.unfold(2, height - 2 * pad, 1).unfold(3, width - 2 * pad, 1)
    rows, columns = moved(draws.integers(2 * pad + 1), padded.device)
    return windows[torch.arange(count, device=padded.device), :, rows, columns]
