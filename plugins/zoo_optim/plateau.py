"""A schedule that lowers the learning rate when a metric stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from zoo import OptionError


def plateau(
    progress: float,  # noqa: ARG001
    *,
    position: float,
    warmup_epochs: float,
    history: Sequence[Mapping[str, float]],
    metric: str = "val/loss",
    best: Literal["lowest", "highest"] = "lowest",
    factor: Annotated[float, Meta(gt=0, lt=1)] = 0.1,
    wait: Annotated[int, Meta(ge=0)] = 3,
) -> float:
    """Multiply the rate by `factor` whenever a metric has not improved for more than `wait` epochs.

    The rate rises linearly during a warmup. It follows from the metrics of all finished epochs, so that a
    resumed run continues with the same rate.

    Args:
        metric: metric to follow, such as `train/loss` or `val/accuracy`.
        best: whether lower or higher values are better.
        factor: factor of the rate on each plateau.
        wait: number of epochs without an improvement after which the rate stays the same.

    Raises OptionError if no epoch has this metric.
    """
    values = [row[metric] for row in history if metric in row]
    if history and not values:
        raise OptionError(f"no epoch has the metric {metric!r} (found: {', '.join(history[-1])})")
    scale, record, waited = 1.0, math.inf, 0
    for value in values:
        value = value if best == "lowest" else -value
        record, waited = (value, 0) if value < record else (record, waited + 1)
        if waited > wait:
            scale, waited = scale * factor, 0
    return scale * min(position / warmup_epochs, 1) if warmup_epochs else scale
