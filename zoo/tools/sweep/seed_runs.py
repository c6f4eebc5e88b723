"""Train one recipe with several seeds, and report how much the results vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from zoo.config.arguments import checked
from zoo.config.declarations import Count
from zoo.config.recipe import Recipe
from zoo.console.progress import Bar, quiet
from zoo.registry.registry import Registry, default_registry
from zoo.registry.specs import TaskSpec
from zoo.runs.run_table import list_runs
from zoo.tools.sweep.recorded import require_alike
from zoo.tools.sweep.study import Work, default_folder, run_trials
from zoo.tools.sweep.workers import required

# Metrics by split
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class SeedResult:
    """The results of training with multiple seeds.

    Attributes:
        runs: the run directories, in the order of the seeds.
        mean: the mean of each metric, by split.
        sd: the sample standard deviation of each metric, by split; empty for a single seed.
        interval: the 95% confidence interval of each mean by Student's t distribution, `[low, high]`, by
            split; empty for a single seed.
        task: the task, which has the units of the metrics.
    """

    runs: list[str]
    mean: Metrics
    sd: Metrics
    interval: dict[str, dict[str, list[float]]]
    task: TaskSpec = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as JSON data."""
        return {"runs": self.runs, "mean": self.mean, "sd": self.sd, "interval": self.interval}


@checked
def train_seeds(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    seeds: Count = 5,
    jobs: Count | None = None,
    on: str = "local",
    run: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
    **training: Any,
) -> SeedResult:
    """Train a model with multiple seeds, and return the mean of each metric with its confidence interval.

    ::

        zoo.train_seeds("resnet20", "shapes", seeds=5, epochs=4)

    The folder `run` contains an ordinary run for each seed. Repeat the call to continue after an
    interruption; a call with more seeds adds runs.

    Args:
        name: as in `train`.
        dataset: as in `train`.
        seeds: number of runs. Their seeds are consecutive, starting at `seed`.
        jobs: number of parallel runs; by default, 1 on this machine and one per worker on a cluster.
        on: where to train: `local`, `dask://HOST:PORT` or `ray://HOST:PORT`.
        run: folder of the runs; by default, `runs/NAME-seeds`.
        device: as in `train`.
        progress: show progress on stderr or in the notebook.
        registry: as in `train`; a custom registry requires `jobs=1`.
        training: options that all runs share, as in `train`. `threads` is 1 by default.

    Raises:
        RunError: the folder contains other runs, or a worker or the cluster was lost.
        Interrupted: a signal stopped the training. The runs are saved.
        ZooError: a run failed; see `zoo.errors` for its subclasses.
    """
    registry = default_registry() if registry is None else registry
    folder = Path(run) if run is not None else default_folder(name, dataset, "seeds")
    work = Work(
        name=name,
        dataset=dataset,
        training=training,
        folder=folder,
        jobs=jobs,
        on=on,
        device=device,
        registry=registry,
    )
    first = training.get("seed")
    if first is None:
        first = name.seed if isinstance(name, Recipe) else 0 if dataset else registry.recipe(name).seed
    if seeds > 1:
        required("scipy.stats", "sweep")  # for the intervals
    numbers = range(int(first), int(first) + seeds)
    places = [folder / f"seed-{number}" for number in numbers]
    shown = Bar(f"{seeds} seeds in {folder}") if progress else quiet()
    with work.begin({"seeds": seeds}, free=["seeds"]), shown as report:
        planned = [work.trial(f"seed-{number}", {"seed": number}) for number in numbers]
        trials = [trial for trial in planned if not work.is_done(trial)]
        run_trials(trials, work, report, done=seeds - len(trials))
    rows = [list_runs(place, registry=registry)[0] for place in places]
    require_alike(rows)
    from zoo.api.run import Run

    task = Run(places[0], registry=registry).task.spec
    return SeedResult([*map(str, places)], *summary([row["metrics"] for row in rows]), task)


def summary(measured: Sequence[Mapping[str, Mapping[str, float]]]) -> tuple[Metrics, Metrics, dict[str, Any]]:
    """Return mean, standard deviation and 95% interval of each metric that all runs have, by split."""
    shared = {
        split: [name for name in values if all(name in other.get(split, {}) for other in measured)]
        for split, values in measured[0].items()
    }
    mean: Metrics = {}
    sd: Metrics = {}
    interval: dict[str, dict[str, list[float]]] = {}
    for split, names in shared.items():
        values = {name: [metrics[split][name] for metrics in measured] for name in names}
        mean[split] = {name: fmean(each) for name, each in values.items()}
        if len(measured) > 1:
            sd[split] = {name: stdev(each) for name, each in values.items()}
            interval[split] = {name: t_interval(each) for name, each in values.items()}
    return mean, sd, interval


def t_interval(values: Sequence[float]) -> list[float]:
    """Return Student's 95% confidence interval of the mean of at least two values."""
    stats = required("scipy.stats", "sweep")
    half = stats.t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return [fmean(values) - half, fmean(values) + half]
