"""The options that zoo_sweep adds to `zoo train`."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from zoo.plugin import option


@dataclass(frozen=True)
class Seeds:
    """How often to train, and where."""

    seeds: Annotated[int, Meta(ge=1, le=10_000)] = option(
        1, "Train this many times with consecutive seeds, and report mean, standard deviation and interval."
    )
    jobs: Annotated[int, Meta(ge=1, le=10_000)] | None = option(
        None, "Number of runs at a time; by default, 1 on this machine, and one per worker on a cluster."
    )
    on: str = option("local", "Where to train: `local`, `dask://HOST:PORT` or `ray://HOST:PORT`.")
