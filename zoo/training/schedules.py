"""Learning rates as a function of position. There is no scheduler object and so no scheduler state."""

from __future__ import annotations

import math

from zoo.config.training import TrainConfig

__all__ = ["learning_rate"]

_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_WARMUP = 0.3


def learning_rate(config: TrainConfig, position: float) -> float:
    """Return the learning rate at a position counted in epochs, such as 2.5 for the middle of the third.

    - `constant`, `cosine` (half a wave down to 0; Loshchilov & Hutter 2017),
    - `one-cycle` (cosine up from lr / 25, cosine down to 0; Smith 2018),
    - `cosine-restarts` (SGDR: a new wave every `cycle_length`, each `cycle_multiplier` times as long).
    """
    return config.lr * _scale(config, position)


def _scale(config: TrainConfig, position: float) -> float:
    warmup = config.warmup_epochs
    if config.schedule == "one-cycle" and warmup == 0:
        warmup = _ONE_CYCLE_WARMUP * config.epochs
    if position < warmup:
        if config.schedule == "one-cycle":
            return _ONE_CYCLE_START + (1 - _ONE_CYCLE_START) * (1 - _wave(position / warmup))
        return position / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine-restarts":
        return _wave(_restart(position - warmup, config.cycle_length, config.cycle_multiplier))
    return _wave((position - warmup) / max(config.epochs - warmup, 1e-9))


def _wave(share: float) -> float:
    """From 1 to 0 along half a cosine."""
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _restart(position: float, length: float, multiplier: float) -> float:
    """Return how much of its cycle has passed at `position`."""
    while position >= length:
        position -= length
        length *= multiplier
    return position / length
