"""The options that zoo_sweep adds to `zoo train`."""

from dataclasses import dataclass

from zoo.plugin import Count, option


@dataclass(frozen=True)
class Seeds:
    """How often to train, and where."""

    seeds: Count = option(
        1, "Train this many times with consecutive seeds, and report mean, standard deviation and interval."
    )
    jobs: Count | None = option(
        None, "Number of runs at a time; by default, 1 on this machine, and one per worker on a cluster."
    )
    on: str = option("local", "Where to train: `local`, `dask://HOST:PORT` or `ray://HOST:PORT`.")
