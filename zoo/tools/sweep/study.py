"""A folder of runs that belong together: its definition in `sweep.json`, and the runs.

The runs are the only state. Repeating the command continues them, and methods that learn from results learn
from the runs again, in the same order. Therefore, neither the number of jobs nor an interruption changes a
result.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.config import options
from zoo.config.recipe import Recipe
from zoo.config.train_config import SPLITS
from zoo.errors import OptionError, RunError, ZooWarning, told
from zoo.registry.registry import Registry
from zoo.runs.lock import is_locked
from zoo.runs.resolving import resolve
from zoo.runs.run_table import list_runs
from zoo.tools.sweep.definition import begun, read_definition, write_definition
from zoo.tools.sweep.recorded import is_done
from zoo.tools.sweep.search_space import Point, flat
from zoo.tools.sweep.sweep_trial import Trial, TrialOutcome, environment
from zoo.tools.sweep.workers import run_all
from zoo.training.best_epoch import best_by, row_of

# Seconds to wait for a run that another process is still saving
_PATIENCE = 15


@dataclass(frozen=True, kw_only=True)
class Work:
    """The settings that all trials of a study share: the arguments of `zoo.train`, and where to train.

    Attributes:
        opened: options of the data that was opened to check them.
    """

    name: str | Recipe
    dataset: str | None
    training: Mapping[str, Any]
    folder: Path
    jobs: int | None = None
    on: str = "local"
    device: str | None = None
    registry: Registry
    opened: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    def trial(self, directory: str, point: Mapping[str, Any], *, stop_after: int | None = None) -> Trial:
        """Return a trial with the options of a point in place of the common ones."""
        given = {key: value for key, value in self.training.items() if value is not None}
        return Trial(
            directory=str(self.folder.resolve() / directory),
            name=self.name,
            dataset=self.dataset,
            training=with_options({"threads": 1} | given, point),
            stop_after=stop_after,
            device=self.device,
            folder=str(Path.cwd()),
            environ=environment() | self._plugin_files(),
        )

    def is_done(self, trial: Trial) -> bool:
        """Return whether the run of a trial is done; see `zoo.tools.sweep.recorded`."""
        return is_done(trial, self.folder / Path(trial.directory).name, self.registry)

    def check(self, point: Mapping[str, Any]) -> None:
        """Raise the errors that `zoo.train` would raise before it builds the model.

        The data and the options of the model are checked only if the point sets any: this imports torch.
        """
        resolved = resolve(self.name, self.dataset, self.registry, **with_options(self.training, point))
        tables = {key.partition(".")[0] for key in point}
        data, given = resolved.data, resolved.recipe.data
        if "data" in tables and given not in self.opened:
            from zoo.data.opening import open_dataset

            with warnings.catch_warnings(action="ignore", category=ZooWarning):  # as in the trials
                open_dataset(data, given)
            self.opened.append(given)
        if "model" in tables and resolved.base is None:  # which sets options, too
            from zoo.models.building import model_options

            model_options(resolved.architecture, resolved.task, resolved.recipe.model)

    def _plugin_files(self) -> dict[str, str]:
        files = [str(Path(file).resolve()) for file in self.registry.plugin_files]
        return {"ZOO_PLUGIN_FILES": os.pathsep.join(files)} if files else {}

    def begin(self, how: Mapping[str, Any], *, free: Iterable[str] = ()) -> AbstractContextManager[None]:
        """Lock the folder, and write the definition of a study, or compare it with that of the study in it.

        Args:
            how: settings that define the study, besides the common arguments of `zoo.train`.
            free: keys that may have changed.

        Raises RunError if the folder is in use, or contains a different study or other files.
        """
        self.check({})
        name = self.name.to_dict() if isinstance(self.name, Recipe) else self.name
        content = {"name": name, "dataset": self.dataset, "training": as_texts(self.training), **how}
        return begun(self.folder, content, free=free)


@dataclass
class Study:
    """The trials of a sweep so far, in order.

    Attributes:
        diverged: numbers of the trials whose training diverged in this process.
        until: for trials that were stopped, the epoch; epochs that somebody else trained do not count.
    """

    work: Work
    points: list[Point] = field(default_factory=list[Point])
    diverged: set[int] = field(default_factory=set[int])
    until: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, points: Iterable[Point]) -> None:
        """Add points. Raises RunError if an earlier call chose different points for these trials."""
        self.points += points
        chosen = [{key: options.text(value) for key, value in point.items()} for point in self.points]
        definition = read_definition(self.work.folder)
        before = definition.get("points", [])
        for number, pair in enumerate(zip(before, chosen, strict=False), 1):
            if pair[0] != pair[1]:
                message = f"trial {number} of {self.work.folder} has the options {pair[0]}, "
                message += f"but Optuna now chooses {pair[1]}"
                hint = (
                    "a different version of Optuna started this sweep; choose a different folder with --run"
                )
                raise RunError(message, hint=hint)
        for point in self.points[len(before) :]:
            self.work.check(point)
        if len(chosen) > len(before):
            write_definition(self.work.folder, definition | {"points": chosen})

    def run(
        self, numbers: Sequence[int], report: Callable[..., None], *, stop_after: int | None = None
    ) -> None:
        """Train some trials, to the end or for some epochs; trials that are done are skipped."""
        numbered = {f"trial-{number + 1}": number for number in numbers if number not in self.diverged}
        planned = [
            self.work.trial(name, self.points[number], stop_after=stop_after)
            for name, number in numbered.items()
        ]
        trials = [trial for trial in planned if not self.work.is_done(trial)]
        done = len(numbers) - len(trials)
        for trial, outcome in run_trials(trials, self.work, report, done=done, may_diverge=True):
            if outcome.status == "diverged":
                self.diverged.add(numbered[Path(trial.directory).name])
        if stop_after is not None:
            self.until |= dict.fromkeys(numbers, stop_after)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each trial: `trial`, `run`, `status`, `options`, `epochs` and `metrics`."""
        from zoo.api.run import Run

        rows: list[dict[str, Any]] = []
        for number, point in enumerate(self.points):
            directory = self.work.folder / f"trial-{number + 1}"
            found = list_runs(directory, registry=self.work.registry) if directory.exists() else []
            row: dict[str, Any] = {"status": "missing", "epochs": 0, "metrics": {}}
            row = found[0] if found else row
            until = self.until.get(number, int(row["epochs"]))
            if until < row["epochs"]:
                run = Run(directory, registry=self.work.registry)
                history = [each for each in run.history if each["epoch"] <= until]
                best = row_of(history, best_by(history, run.task.spec))
                metrics = {split: best[split] for split in SPLITS if split in best}
                row = {"status": "stopped", "epochs": until, "metrics": metrics}
            status = "diverged" if number in self.diverged else row["status"]
            shown = {key: plain(value) for key, value in point.items()}
            rows.append(
                {"trial": number + 1, "run": str(directory), "status": status, "options": shown}
                | {"epochs": row["epochs"], "metrics": row["metrics"]}
            )
        return rows

    def score(self, number: int, *, epochs: int | None = None) -> tuple[float, float] | None:
        """Return the primary metric and the loss of a trial's best epoch by validation; lower is better.

        Returns None if the training diverged or has no finished epoch. Raises OptionError if the data has
        no validation split.

        Args:
            epochs: consider only this many epochs.
        """
        from zoo.api.run import Run

        run = Run(self.work.folder / f"trial-{number + 1}", registry=self.work.registry)
        history = [row for row in run.history if epochs is None or row["epoch"] <= epochs]
        if number in self.diverged or not history:
            return None
        best = best_by(history, run.task.spec)
        if best is None:
            hint = "set aside part of the training data, for example with --data val_size=1000"
            raise OptionError("a sweep compares runs on validation data, which this dataset lacks", hint=hint)
        metrics, name = row_of(history, best)["val"], run.task.spec.primary_metric
        return -metrics[name] if name in run.task.spec.higher_is_better else metrics[name], metrics["loss"]

    def ranked(self, numbers: Iterable[int], *, epochs: int | None = None) -> list[int]:
        """Return some trials by their scores, the best first. Raises OptionError if every trial diverged."""
        scores = {number: self.score(number, epochs=epochs) for number in numbers}
        ranked = sorted((score, number) for number, score in scores.items() if score is not None)
        if not ranked:
            raise OptionError("every trial diverged", hint="try lower learning rates")
        return [number for _, number in ranked]


def run_trials(
    trials: Sequence[Trial],
    work: Work,
    report: Callable[..., None],
    *,
    done: int,
    may_diverge: bool = False,
) -> list[tuple[Trial, TrialOutcome]]:
    """Run trials and report how many are done. Raises the error of the first trial that fails."""
    total, ended = done + len(trials), list[tuple[Trial, TrialOutcome]]()
    _wait_for([Path(trial.directory) for trial in trials])
    for trial, outcome in run_all(trials, jobs=work.jobs or 0, on=work.on, registry=work.registry):
        if outcome.status == "failed" or (outcome.status == "diverged" and not may_diverge):
            run = Path(trial.directory)
            hint = f"see the run in {run}" if run.exists() else None
            raise told(outcome.kind, outcome.message, outcome.hint or hint)
        ended.append((trial, outcome))
        report(
            "training",
            done + len(ended),
            total,
            "runs",
            note=f"{Path(trial.directory).name} {outcome.status}",
        )
    return ended


def with_options(training: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `zoo.train` with options such as `lr` and `model.hidden_size` set."""
    merged = dict(training)
    for key, value in point.items():
        table, dot, name = key.partition(".")
        if dot:
            merged[table] = dict(merged.get(table) or {}) | {name: value}
        else:
            merged[key] = value
    return merged


def as_texts(training: Mapping[str, Any]) -> dict[str, str]:
    """Return arguments of `zoo.train` as a user would type them, without arguments that are not set."""
    return {
        key: str(value) if isinstance(value, options.Typed) else options.text(value)
        for key, value in sorted(flat(training).items())
    }


def default_folder(name: str | Recipe, dataset: str | None, suffix: str) -> Path:
    """Return `runs/NAME-DATASET-SUFFIX`."""
    words = (name.architecture, name.dataset) if isinstance(name, Recipe) else (name, dataset)
    return Path("runs") / "-".join(filter(None, [*words, suffix])).replace("/", "-")


def plain(value: Any) -> Any:
    """Return a value as a number or a string."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = str(value) if isinstance(value, options.Typed) else options.text(value)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _wait_for(directories: Sequence[Path]) -> None:
    """Wait a little for runs that a worker of an earlier call is still saving.

    Raises RunError if one is still in use.
    """
    end = time.monotonic() + _PATIENCE
    for directory in directories:
        while is_locked(directory):
            if time.monotonic() > end:
                hint = "wait until it ends, then run the command again"
                raise RunError(f"another process is training in {directory}", hint=hint)
            time.sleep(0.2)
