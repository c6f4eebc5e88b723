"""The schedule "warmup, stable, decay"."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta

from zoo import OptionError

Fraction = Annotated[float, Meta(ge=0, lt=1)]


def warmup_stable_decay(
    progress: float,
    *,
    warmup: Fraction = 0.05,
    decay: Fraction = 0.2,
    shape: Literal["sqrt", "linear"] = "sqrt",
) -> float:
    """Rise linearly from 0 to 1, stay there, and fall to 0 at the end.

    While the rate is stable, training can continue for any time before it ends with a short decay.

    Sources: Hu et al. 2024, "MiniCPM", arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392, for the
    square root.

    Args:
        warmup: fraction of training in which the rate rises.
        decay: fraction of training in which the rate falls.
        shape: `sqrt` falls as 1 - sqrt(x), fast at first; `linear` falls evenly.

    Raises OptionError if the two fractions add up to more than 1.
    """
    if warmup + decay > 1:
        raise OptionError(f"warmup={warmup} and decay={decay} must add up to at most 1")
    if progress < warmup:
        return progress / warmup
    if progress <= 1 - decay:
        return 1.0
    fallen = min((progress - (1 - decay)) / decay, 1.0)
    return 1 - (math.sqrt(fallen) if shape == "sqrt" else fallen)
