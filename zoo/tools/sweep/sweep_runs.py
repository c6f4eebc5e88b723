"""Sweeps: train a model with different options, and find out which options matter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import rtoml

from zoo.config.arguments import checked
from zoo.config.declarations import Count
from zoo.config.recipe import Recipe
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError
from zoo.files import style
from zoo.registry.registry import Registry, default_registry
from zoo.registry.specs import TaskSpec
from zoo.tools.sweep.importance import draw_importance, importance
from zoo.tools.sweep.search_methods import halve, search
from zoo.tools.sweep.search_space import REPEATS, Range, Space, as_text, each_value, is_listed, parse_space
from zoo.tools.sweep.seed_runs import t_interval
from zoo.tools.sweep.study import Study, Work, default_folder, with_options
from zoo.tools.sweep.workers import quiet_optuna, required

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@checked
def sweep(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    over: Mapping[str, Any],
    method: Literal["grid", "random", "tpe", "halving"] | None = None,
    trials: Count | None = None,
    round_size: Count = 4,
    jobs: Count | None = None,
    on: str = "local",
    run: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
    **training: Any,
) -> Sweep:
    """Train a model with different options, and compare the runs on validation data.

    ::

        over = {"lr": "1e-3..1e-1:log", "model.hidden_size": [128, 256]}
        zoo.sweep("lstm", "nietzsche", over=over, method="tpe", epochs=2)

    Each trial is an ordinary run in the folder `run`. Repeat the call to continue after an interruption. The
    result does not depend on `jobs`, on the location where the trials run, or on interruptions.

    Args:
        name: as in `train`.
        dataset: as in `train`.
        over: options to vary, with their values: a list such as `128,256`, or a range such as `2..10` or
            `1e-4..1e-1:log`. An option is a training option, `seed`, `model.NAME`, `data.NAME`,
            `optimizer_options.NAME`, `schedule_options.NAME`, `augment_options.AUGMENTATION.NAME` or
            `metrics_options.METRIC.NAME`.
        method: `grid` trains every combination; `random` draws values at random; `tpe` learns from earlier
            trials which options are promising; `halving` trains all trials for a few epochs, then the better
            half for longer, and so on. By default, `grid` if each option has a list of values, otherwise
            `random`.
        trials: number of trials; by default, every combination of listed values for `grid` and `halving`, 20
            for `random` and `tpe`, and 27 for `halving` with a range.
        round_size: number of trials that `tpe` chooses before it learns from their results.
        jobs: number of parallel trials; by default, 1 on this machine and one per worker on a cluster.
        on: where to train: `local`, `dask://HOST:PORT` or `ray://HOST:PORT`.
        run: folder of the runs; by default, `runs/NAME-sweep`.
        device: as in `train`.
        progress: show progress on stderr or in the notebook.
        registry: as in `train`; a custom registry requires `jobs=1`.
        training: options that all trials share, as in `train`. `threads` is 1 by default.

    Raises:
        OptionError: the options cannot be varied, the data has no validation split, or every trial diverged.
        RunError: the folder contains other runs, or a worker or the cluster was lost.
        Interrupted: a signal stopped the sweep. The runs are saved.
        ZooError: a trial failed; see `zoo.errors` for its subclasses.
    """
    space = parse_space(over)
    registry = default_registry() if registry is None else registry
    method = method or ("grid" if is_listed(space) else "random")
    folder = Path(run) if run is not None else default_folder(name, dataset, "sweep")
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
    if {*REPEATS} & space.keys():
        required("scipy.stats", "sweep")  # for `means`
    if space.keys() - {*REPEATS}:
        quiet_optuna()  # for `importance`
    with Bar() if progress else quiet():  # data may be downloaded or decoded
        for point in each_value(space):  # before there is a folder
            work.check(point)
    seed, study = int(training.get("seed") or 0), Study(work)
    definition = {
        "over": {key: as_text(values) for key, values in space.items()},
        "method": method,
        "trials": trials,
        "round_size": round_size,
    }
    free = () if method == "halving" else ("trials",)
    title = f"sweep of {', '.join(space)} by {method} in {folder}"
    shown = Bar(title) if progress else quiet()
    with work.begin(definition, free=free), shown as report:
        if method == "halving":
            epochs = _epochs(work, space)
            halve(study, space, trials=trials, epochs=epochs, seed=seed, report=report)
        else:
            search(
                study, space, method=method, trials=trials, round_size=round_size, seed=seed, report=report
            )
    return Sweep(study, space)


def _epochs(work: Work, space: Space) -> int:
    """Return the number of epochs of each trial. Raises OptionError if the sweep varies it."""
    if "epochs" in space:
        hint = "choose a different method, such as random"
        raise OptionError("the halving method cannot vary the number of epochs", hint=hint)
    recipe = _base(work)
    given = {key: value for key, value in work.training.items() if key == "epochs"}
    return work.registry.training_config(recipe).replace(given).epochs


def _base(work: Work) -> Recipe:
    if isinstance(work.name, Recipe):
        return work.name
    if work.dataset is None:
        return work.registry.recipe(work.name)
    return Recipe(architecture=work.name, dataset=work.dataset)


class Sweep:
    """The trials of a sweep. A notebook displays the figure of `plot`."""

    def __init__(self, study: Study, space: Space) -> None:
        self._study, self._space = study, space

    def __repr__(self) -> str:
        return f"<Sweep of {', '.join(self._space)} in {self.folder}: {len(self.trials)} trials>"

    @property
    def folder(self) -> Path:
        """The folder of the runs."""
        return self._study.work.folder

    @property
    def trials(self) -> list[dict[str, Any]]:
        """A row for each trial: `{trial, run, status, options, epochs, metrics}`, in order."""
        return self._study.rows()

    @property
    def best(self) -> dict[str, Any]:
        """The row of the finished trial with the best primary metric on validation data.

        Raises OptionError if every trial diverged.
        """
        finished = [row["trial"] - 1 for row in self.trials if row["status"] == "finished"]
        return self.trials[self._study.ranked(finished)[0]]

    @property
    def task(self) -> TaskSpec:
        """The task of the trials."""
        from zoo.api.run import Run

        return Run(self.trials[0]["run"], registry=self._study.work.registry).task.spec

    @property
    def recipe(self) -> str:
        """The options of the best trial as a recipe in TOML, to paste into a registry.toml."""
        from zoo.api.run import Run

        best, work = self.best, self._study.work
        run, base = Run(best["run"], registry=work.registry).recipe, _base(work)
        point = self._study.points[best["trial"] - 1]
        given = with_options(work.training, point)
        table: dict[str, Any] = {"architecture": run.architecture, "dataset": run.dataset}
        for part in ("model", "data"):
            names = {*getattr(base, part), *(given.get(part) or {})}
            table[part] = {key: value for key, value in getattr(run, part).items() if key in names}
        names = {*base.train, *given}
        table["train"] = {key: value for key, value in run.train.items() if key in names}
        table |= {"seed": run.seed, "threads": run.threads}
        table |= {"from_weights": run.from_weights} if run.from_weights else {}
        title = self.folder.name
        return rtoml.dumps({"recipes": {title: {key: value for key, value in table.items() if value != {}}}})

    @property
    def means(self) -> list[dict[str, Any]]:
        """The primary metric on validation data, averaged over the seeds or folds that the sweep varies.

        There is a row `{options, trials, mean, interval}` for each combination of the other options. The
        interval is the 95% confidence interval of the mean by Student's t distribution, `[low, high]`, or
        None for a single trial. Empty if the sweep varies neither `seed` nor `data.fold`.
        """
        metric, groups = self.task.primary_metric, dict[tuple[Any, ...], list[float]]()
        for row in self.trials if {*REPEATS} & self._space.keys() else ():
            if row["status"] == "finished":
                others = tuple(pair for pair in row["options"].items() if pair[0] not in REPEATS)
                groups.setdefault(others, []).append(row["metrics"]["val"][metric])
        return [
            {"options": dict(others), "trials": len(values), "mean": fmean(values)}
            | {"interval": t_interval(values) if len(values) > 1 else None}
            for others, values in groups.items()
        ]

    @property
    def importance(self) -> dict[str, float]:
        """The share of each option in the differences between the best trials and the others.

        The shares add up to 1. Empty if fewer than four trials have a finished epoch, or if the sweep varies
        only the seed or the fold.
        """
        scored = self._scored() if self._space.keys() - {*REPEATS} else []
        return importance(self._space, scored) if len(scored) >= 4 else {}

    def _scored(self) -> list[tuple[Mapping[str, Any], float]]:
        """Return the points of all trials with their scores after the same number of epochs."""
        rows = [row for row in self.trials if row["epochs"] and row["status"] != "diverged"]
        if not rows:
            return []
        least = min(row["epochs"] for row in rows)
        scores = [(row["trial"] - 1, self._study.score(row["trial"] - 1, epochs=least)) for row in rows]
        return [(self._study.points[number], score[0]) for number, score in scores if score is not None]

    def plot(self) -> Figure:
        """Plot the score of each trial against each option, with the importance of the option.

        If the sweep varies seeds or folds, the figure shows `means` with their intervals.

        Raises OptionError if no trial has a finished epoch.
        """
        rows = [row for row in self.trials if row["metrics"].get("val")]
        if not rows:
            raise OptionError("no trial has a finished epoch to plot")
        task = self.task
        points = [
            (self._study.points[row["trial"] - 1], row["metrics"]["val"][task.primary_metric]) for row in rows
        ]
        ranges = {name: isinstance(values, Range) and values.log for name, values in self._space.items()}
        return draw_importance(
            points, ranges, self.importance, task, title=self.folder.name, means=self.means
        )

    def _repr_png_(self) -> bytes:
        return style.png(self.plot())

    def to_dict(self) -> dict[str, Any]:
        """Return the best trial, the means and all trials as JSON data."""
        best = {key: self.best[key] for key in ("run", "options", "metrics")}
        return {"best": best, "means": self.means, "trials": self.trials}
