"""The options that zoo_sweep adds to `zoo train`."""

from dataclasses import dataclass

from zoo.plugin import Count, option


@dataclass(frozen=True)
class Seeds:
    """The number of training runs, and where to train."""

    seeds: Count = option(
        1,
        "Number of runs, with consecutive seeds. Reports the mean, the standard deviation and the confidence "
        "interval of the mean.",
    )
    jobs: Count | None = option(
        None, "Number of parallel runs; by default, 1 on this machine and one per worker on a cluster."
    )
    on: str = option("local", "Where to train: `local`, `dask://HOST:PORT` or `ray://HOST:PORT`.")
