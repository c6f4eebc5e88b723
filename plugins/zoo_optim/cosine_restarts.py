"""A cosine schedule with restarts (SGDR)."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta


def cosine_restarts(
    progress: float,  # noqa: ARG001
    *,
    position: float,
    warmup_epochs: float,
    cycle_length: Annotated[float, Meta(ge=0.01)] = 1.0,
    cycle_multiplier: Annotated[float, Meta(ge=1)] = 1.0,
) -> float:
    """Fall from 1 to 0 along half a cosine in each cycle, after a linear warmup (SGDR).

    Args:
        cycle_length: number of epochs in the first cycle.
        cycle_multiplier: length of each later cycle relative to the previous cycle.
    """
    if position < warmup_epochs:
        return position / warmup_epochs
    position, length = position - warmup_epochs, cycle_length
    while position >= length:
        position -= length
        length *= cycle_multiplier
    return (1 + math.cos(math.pi * position / length)) / 2
