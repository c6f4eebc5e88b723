"""Schedules with a linear warmup: constant, cosine, and cosine with restarts."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

__all__ = ["constant", "cosine", "cosine_restarts", "half_cosine"]


def constant(progress: float, *, position: float, warmup_epochs: float) -> float:  # noqa: ARG001
    """Return 1, after a linear warmup."""
    return position / warmup_epochs if position < warmup_epochs else 1.0


def cosine(progress: float, *, position: float, epochs: int, warmup_epochs: float) -> float:  # noqa: ARG001
    """Fall from 1 to 0 along half a cosine, after a linear warmup (Loshchilov & Hutter 2017)."""
    if position < warmup_epochs:
        return position / warmup_epochs
    return half_cosine((position - warmup_epochs) / max(epochs - warmup_epochs, 1e-9))


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
    return half_cosine(position / length)


def half_cosine(fraction: float) -> float:
    """Return half a cosine, which falls from 1 to 0 as `fraction` grows from 0 to 1."""
    return (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
