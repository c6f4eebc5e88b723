"""The one-cycle schedule: a rate that rises first, and then falls."""

from __future__ import annotations

from zoo_optim.cosine import half_cosine

__all__ = ["one_cycle"]

START = 1 / 25
WARMUP = 0.3


def one_cycle(progress: float, *, position: float, epochs: int, warmup_epochs: float) -> float:  # noqa: ARG001
    """Rise from 1 / 25 to 1 along half a cosine, then fall to 0 along another one.

    The rise takes 30% of the epochs, unless `warmup_epochs` is set. Source: Smith 2018, arXiv 1803.09820.
    """
    warmup = warmup_epochs or WARMUP * epochs
    if position < warmup:
        return START + (1 - START) * (1 - half_cosine(position / warmup))
    return half_cosine((position - warmup) / max(epochs - warmup, 1e-9))
