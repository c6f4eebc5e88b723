"""The options that zoo_stats adds to `zoo show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.plugin import option


@dataclass(frozen=True)
class BatchImage:
    """The options that select the training batch to draw."""

    image: str = option("", "Save a figure of the first training batch to this PNG file.")
    architecture: str = option("", "With --image: architecture that the batch is prepared for.")
    train: Sequence[str] = option(
        (), "With --image: training option such as batch_size=32, augment=crop,flip or seed=1."
    )
