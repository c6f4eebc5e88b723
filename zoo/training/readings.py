"""Read the numbers that steps compute on a device, several at a time.

Reading a number from a GPU blocks until it is computed, and the GPU is then idle until the next step. Numbers
therefore stay on the device and are read ten times a second, before each save and after each epoch. On a CPU,
reading is free, and each number is read at once.
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
    """Functions to call with numbers, in order, once the numbers have been read.

    Args:
        at_once: read each number immediately.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self._at_once = at_once
        self._kept: list[tuple[Tensor, Callable[[float], None]]] = []
        self._read = time.monotonic()

    def then(self, number: Tensor, do: Callable[[float], None]) -> None:
        """Call `do` with a number (a scalar tensor) when it is read; this also raises errors from `do`."""
        if self._at_once:
            do(float(number))
        else:
            self._kept.append((number, do))

    def read_if_due(self) -> None:
        """Read all numbers, unless the last read was a moment ago."""
        if self._kept and time.monotonic() - self._read >= _INTERVAL:
            self.read()

    def read(self) -> None:
        """Read all numbers in one transfer."""
        kept, self._kept = self._kept, []
        if kept:
            numbers = torch.stack([exact(number) for number, _ in kept]).tolist()
            for number, (_, do) in zip(numbers, kept, strict=True):
                do(number)
        self._read = time.monotonic()
