"""Random numbers for the augmentation of a batch of images.

A CPU generator produces separate random numbers for each image, so results are the same on every device and
for any number of processes that share a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.seeds import seed_for


class Draws:
    """Random numbers for some images of a batch.

    The numbers for an image do not depend on which other images are requested.

    Args:
        generator: a CPU generator.
        count: number of images in the whole batch.
        places: indices (n,) of the images to generate numbers for; by default, all images.
        turns: booleans (count,), True for each image of the whole batch to mirror in this epoch, if flips
            alternate; by default, images are mirrored at random.
        position: the training's seed, the epoch, and the index of the batch.
    """

    def __init__(
        self,
        generator: torch.Generator,
        count: int,
        places: Tensor | None = None,
        turns: Tensor | None = None,
        position: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self._generator, self._count, self._turns = generator, count, turns
        self._places = slice(None) if places is None else places
        self._position = position

    def turns(self) -> Tensor:
        """Return booleans (n,), True for each image to mirror in this epoch."""
        return self.uniform() < 0.5 if self._turns is None else self._turns[self._places]

    def uniform(self) -> Tensor:
        """Return random numbers (n,) in [0, 1)."""
        return torch.rand(self._count, generator=self._generator)[self._places]

    def integers(self, end: int) -> Tensor:
        """Return random pairs of integers (2, n) from 0 to `end` - 1."""
        return torch.randint(0, end, (2, self._count), generator=self._generator)[:, self._places]

    def seeds(self) -> Tensor:
        """Return a random seed for each image, (n,), int64."""
        return torch.randint(0, 2**62, (self._count,), generator=self._generator)[self._places]

    def batch_seed(self, purpose: str) -> int:
        """Return a random seed for the whole batch, a different one for each purpose, such as `mixup`."""
        seed, epoch, index = self._position
        return seed_for(seed, purpose, epoch, index, 0)
