"""Learning rates as functions of the position in training, without scheduler state."""

from __future__ import annotations

import math
from collections.abc import Callable

from zoo.config.declarations import declared
from zoo.config.train_config import TrainConfig
from zoo.errors import SpecError
from zoo.registry.methods import bound


def make_schedule(config: TrainConfig) -> Callable[[float], float]:
    """Return the function from a position in epochs, such as 2.5, to the learning rate there."""
    scale = bound(config, "schedule")
    by_epoch = "position" in declared(scale.func)

    def learning_rate(position: float) -> float:
        more = {"position": position} if by_epoch else {}
        factor: object = scale(position / config.epochs, **more)
        if not isinstance(factor, int | float) or not 0 <= factor < math.inf:
            raise SpecError(f"schedule {config.schedule} returned {factor!r:.60}, not a number of at least 0")
        return config.lr * factor

    return learning_rate
