"""Learning rates as functions of the position in training, without scheduler state; the usual schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.config.declarations import declared
from zoo.config.train_config import TrainConfig
from zoo.errors import SpecError
from zoo.registry.methods import bound
from zoo.training.saved import named_metrics

# Where one-cycle starts, and the share of its epochs in which it rises
_START = 1 / 25
_WARMUP = 0.3


def make_schedule(config: TrainConfig) -> Callable[..., float]:
    """Return the function from a position in epochs, such as 2.5, to the learning rate there.

    Its second argument, `history`, has the rows of the epochs that are finished; by default, there are none.
    """
    scale = bound(config, "schedule")
    known = declared(scale.func)

    def learning_rate(position: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        more: dict[str, Any] = {"position": position} if "position" in known else {}
        if "history" in known:
            more["history"] = [*map(named_metrics, history)]
        factor: object = scale(position / config.epochs, **more)
        if not isinstance(factor, int | float) or not 0 <= factor < math.inf:
            raise SpecError(f"schedule {config.schedule} returned {factor!r:.60}, not a number of at least 0")
        return config.lr * factor

    return learning_rate


def constant(progress: float, *, position: float, warmup_epochs: float) -> float:  # noqa: ARG001
    """Return 1, after a linear warmup."""
    return position / warmup_epochs if position < warmup_epochs else 1.0


def cosine(progress: float, *, position: float, epochs: int, warmup_epochs: float) -> float:  # noqa: ARG001
    """Fall from 1 to 0 along half a cosine, after a linear warmup (Loshchilov & Hutter 2017)."""
    if position < warmup_epochs:
        return position / warmup_epochs
    return _half_cosine((position - warmup_epochs) / max(epochs - warmup_epochs, 1e-9))


def one_cycle(progress: float, *, position: float, epochs: int, warmup_epochs: float) -> float:  # noqa: ARG001
    """Rise from 1 / 25 to 1 along half a cosine, then fall to 0 along another one.

    The rise takes 30% of the epochs, unless `warmup_epochs` is set. Source: Smith 2018, arXiv 1803.09820.
    """
    warmup = warmup_epochs or _WARMUP * epochs
    if position < warmup:
        return _START + (1 - _START) * (1 - _half_cosine(position / warmup))
    return _half_cosine((position - warmup) / max(epochs - warmup, 1e-9))


def _half_cosine(fraction: float) -> float:
    """Return half a cosine, which falls from 1 to 0 as `fraction` grows from 0 to 1."""
    return (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
