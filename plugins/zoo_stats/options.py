"""The options that zoo_stats adds to `zoo show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.plugin import option


@dataclass(frozen=True)
class BatchImage:
    """What to draw, and the training whose first batch it is."""

    image: str = option(
        "", "Draw the first batch of a training on this data, or of this recipe, to this PNG file."
    )
    architecture: str = option("", "With --image: draw a batch of this architecture's training.")
    train: Sequence[str] = option(
        (), "With --image: training option such as batch_size=32, augment=crop,flip or seed=1."
    )
