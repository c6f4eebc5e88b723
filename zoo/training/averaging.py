"""Averages of the weights along the way: an exponential one, or an even one from a triggered start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

__all__ = ["ema_decay", "even_decay", "move_average", "triggered"]


def triggered(history: Sequence[Mapping[str, Any]], patience: int) -> int | None:
    """Return the number of steps after which to average, or None while validation still gets better.

    It is the end of the first epoch whose validation loss is above the lowest of all but the last `patience`
    epochs before it: the non-monotonic trigger of NT-ASGD (Merity et al. 2018, algorithm 1), as a function of
    the epochs' rows so far.
    """
    losses = [row["val"]["loss"] for row in history]
    for epoch, loss in enumerate(losses):
        if epoch > patience and loss > min(losses[: epoch - patience]):
            return history[epoch]["steps"]
    return None


def ema_decay(limit: float, steps: int) -> float:
    """Return an exponential average's decay after `steps` steps: short-sighted while it is young."""
    return min(limit, (1 + steps) / (10 + steps))


def even_decay(steps: int) -> float:
    """Return the decay that makes the `steps`-th member of an average count as much as each before it."""
    return 1 - 1 / steps


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move every parameter of `average` towards the model's; buffers are copied."""
    for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
        ours.lerp_(theirs, 1 - decay)
    for ours, theirs in zip(average.buffers(), model.buffers(), strict=True):
        ours.copy_(theirs)
