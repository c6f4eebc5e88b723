"""Numbers that steps compute on a device, read by the host many at a time.

To read a number from a GPU is to wait until it has computed it, and then the GPU waits for the next step. So
they are kept where they are and read ten times a second, before each save and after each epoch. On a CPU,
reading costs nothing, and each is read at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.models.precision import exact

# Seconds between two readings from a device
_INTERVAL = 0.1


class Readings:
    """What is to be done with numbers once they have been read, in the order in which they were given.

    Args:
        at_once: read each as it is given.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self._at_once = at_once
        self._kept: list[tuple[Tensor, Callable[[float], None]]] = []
        self._read = time.monotonic()

    def then(self, number: Tensor, do: Callable[[float], None]) -> None:
        """Call `do` with a number, a tensor of no dimensions, when it is read. What `do` raises is raised."""
        if self._at_once:
            do(float(number))
        else:
            self._kept.append((number, do))

    def read_if_due(self) -> None:
        """Read what was given, unless there was a reading a moment ago."""
        if self._kept and time.monotonic() - self._read >= _INTERVAL:
            self.read()

    def read(self) -> None:
        """Read all that were given, in one transfer."""
        kept, self._kept = self._kept, []
        if kept:
            numbers = torch.stack([exact(number) for number, _ in kept]).tolist()
            for number, (_, do) in zip(numbers, kept, strict=True):
                do(number)
        self._read = time.monotonic()
