"""Learning rates as a function of the position in training, without scheduler state."""

from __future__ import annotations

import math

from zoo.config.train_config import TrainConfig

_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_WARMUP = 0.3


def learning_rate(config: TrainConfig, position: float) -> float:
    """Return the learning rate at a position in epochs, such as 2.5 for the middle of the third epoch.

    - `constant`: always `lr`.
    - `cosine`: down to 0 along half a cosine (Loshchilov & Hutter 2017).
    - `one-cycle`: up from lr / 25 along half a cosine, then down to 0 (Smith 2018).
    - `cosine-restarts`: down to 0 in each cycle (SGDR); the first cycle takes `cycle_length` epochs, and each
      later cycle is `cycle_multiplier` times as long as the previous one.
    """
    return config.lr * _scale(config, position)


def _scale(config: TrainConfig, position: float) -> float:
    warmup = config.warmup_epochs
    if config.schedule == "one-cycle" and warmup == 0:
        warmup = _ONE_CYCLE_WARMUP * config.epochs
    if position < warmup:
        if config.schedule == "one-cycle":
            return _ONE_CYCLE_START + (1 - _ONE_CYCLE_START) * (1 - _cosine(position / warmup))
        return position / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine-restarts":
        return _cosine(_cycle_fraction(position - warmup, config.cycle_length, config.cycle_multiplier))
    return _cosine((position - warmup) / max(config.epochs - warmup, 1e-9))


def _cosine(fraction: float) -> float:
    """Return half a cosine, falling from 1 to 0 as `fraction` grows from 0 to 1."""
    return (1 + math.cos(math.pi * min(fraction, 1.0))) / 2


def _cycle_fraction(position: float, length: float, multiplier: float) -> float:
    """Return the fraction of the current cycle that has passed at `position`."""
    while position >= length:
        position -= length
        length *= multiplier
    return position / length
