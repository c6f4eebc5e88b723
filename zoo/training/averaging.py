"""Weight averaging during training: exponential, or with equal weights once triggered."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def triggered(history: Sequence[Mapping[str, Any]], nonmono: int) -> int | None:
    """Return the number of steps after which averaging starts; None while the validation loss improves.

    Averaging starts after the first epoch whose validation loss exceeds the lowest loss from more than
    `nonmono` epochs earlier. This is the non-monotonic trigger of NT-ASGD (Merity et al. 2018, algorithm 1),
    computed from the rows of all epochs so far.
    """
    rows = [row for row in history if "val" in row]  # other data before may have had none
    losses = [row["val"]["loss"] for row in rows]
    for epoch, loss in enumerate(losses):
        if epoch > nonmono and loss > min(losses[: epoch - nonmono]):
            return rows[epoch]["steps"]
    return None


def average_decay(ema_decay: float, steps: int, *, since: int) -> float:
    """Return the decay of the average at the `steps`-th step.

    With `ema_decay`, the decay approaches that value from below, so that the initial weights fade quickly.
    Without `ema_decay`, every step after the first `since` steps has the same weight in the average.
    """
    return min(ema_decay, (1 + steps) / (10 + steps)) if ema_decay else 1 - 1 / (steps - since)


@torch.no_grad()
def move_average(
    average: nn.Module, model: nn.Module, decay: float, *, infinite: Collection[str] = ()
) -> None:
    """Move the parameters and buffers of `average` toward the model's; copy integer buffers.

    BatchNorm statistics are averaged too, since the model's statistics do not match the averaged weights.

    Args:
        infinite: names of buffers to copy, since averaging values that are not finite would produce NaN.
    """
    towards: list[tuple[Tensor, Tensor]] = []
    for (name, averaged), (_, current) in zip(_values(average), _values(model), strict=True):
        if (averaged.is_floating_point() or averaged.is_complex()) and name not in infinite:
            towards.append((averaged, current))
        else:
            averaged.copy_(current)
    if towards:
        averages, values = zip(*towards, strict=True)
        get_ema_multi_avg_fn(decay)([*averages], [*values], 0)  # on a GPU, one kernel for all


def _values(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return itertools.chain(module.named_parameters(), module.named_buffers())
