"""Averages of the weights along the way: an exponential one, or an even one from a triggered start."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
    """Move every parameter and buffer of `average` towards the model's; what counts in integers is copied.

    BatchNorm's statistics are averaged too: those of the model are of other weights than the average's.
    """
    for ours, theirs in zip(_values(average), _values(model), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)


def _values(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())
