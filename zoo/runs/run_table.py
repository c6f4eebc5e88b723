"""List, compare and prune training runs, using the files in their directories. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from zoo.config import options as as_typed
from zoo.config.arguments import checked
from zoo.config.near_names import did_you_mean
from zoo.config.train_config import SPLITS
from zoo.errors import OptionError, RunError, ZooError, first_line, warn
from zoo.files import run_files
from zoo.registry.catalog import recorded_recipe
from zoo.registry.registry import Registry, default_registry
from zoo.registry.specs import MetricSpec, TaskSpec
from zoo.registry.where import matching
from zoo.runs.lock import is_locked, owned
from zoo.runs.run_directories import require_run, verified_card
from zoo.runs.step_log import read_rows
from zoo.training.best_epoch import best_by, epochs_in, row_of
from zoo.training.saved import Row

# The numbers in a name, which are then at the odd places
_NUMBERS = re.compile(r"([0-9]+)")
# Keys of a flat row that are no options of the run: its state, and the beginnings of its metrics
_STATE = ("run", "status", "epochs", "seconds")
_METRIC = tuple(f"{split}." for split in SPLITS)


class RunList(list[dict[str, Any]]):
    """A list of rows, one for each run. If pandas is installed, a notebook displays it as a table."""

    def flat(self) -> list[dict[str, Any]]:
        """Return the rows without nesting, with keys such as `lr`, `model.hidden_size` and `val.loss`."""
        return [*map(_flat, self)]

    def options(self) -> list[dict[str, Any]]:
        """Return only the options of each run, with keys such as `lr` and `model.hidden_size`."""
        return [_options(row["recipe"]) for row in self]

    def differing(self) -> list[str]:
        """Return the keys of the options that differ between runs."""
        return differing_options(self.options())

    def to_pandas(self) -> Any:
        """Return the flat rows as a pandas DataFrame. Raises OptionError if pandas is not installed."""
        if not find_spec("pandas"):
            raise OptionError(
                "to_pandas requires pandas", hint="install pandas, which is not a dependency of zoo"
            )
        return import_module("pandas").DataFrame(self.flat())

    def _repr_html_(self) -> str | None:
        return self.to_pandas().to_html() if find_spec("pandas") else None


@checked
def list_runs(
    folder: str | Path = "runs",
    *,
    where: str | None = None,
    sort: str | None = None,
    registry: Registry | None = None,
) -> RunList:
    """List the training runs in a folder and its subfolders.

    `where` and `sort` use the keys of a flat row: `run`, `status`, `epochs` and `seconds`; training options
    such as `lr`; `model.NAME`, `data.NAME` and `optimizer_options.NAME`; metrics such as `val.loss`.

    Args:
        folder: folder that contains run directories, or a run directory.
        where: comparisons such as `val.loss<1.3 and model.hidden_size=256`.
        sort: key to sort by, from best to worst for metrics and in ascending order for other keys; a `-` in
            front of the key reverses the order.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        One row for each run, the newest first: `run` (its directory), `task`, `recipe`, `status` (`finished`,
        `running` or `stopped`), `epochs` (the number of finished epochs), `metrics` by split, of the best
        epoch by validation or, without validation, of the last epoch, and `seconds` of training.

    Raises RunError if the folder does not exist, and OptionError if `where` or `sort` uses a key that no run
    has. Runs whose files cannot be read are skipped with a warning.
    """
    registry = default_registry() if registry is None else registry
    rows = RunList(_found(folder, registry))
    rows.sort(key=lambda row: Path(row["run"], run_files.CONFIG).stat().st_mtime, reverse=True)
    if where is None and sort is None:
        return rows
    flat = rows.flat() if where is None else matching(rows.flat(), where, what="run")
    if sort is not None and flat:
        flat = _sorted(flat, sort, [registry.tasks[row["task"]] for row in rows if row["task"]], registry)
    found = {row["run"]: row for row in rows}
    return RunList(found[row["run"]] for row in flat)


@checked
def diff_runs(
    run: str | Path, other: str | Path, *, registry: Registry | None = None
) -> dict[str, dict[str, list[Any]]]:
    """Compare two runs: return `{options: {key: [a, b]}, metrics: {key: [a, b]}}`.

    `options` contains the options that differ, with the same keys as in `list_runs`; an option that a run
    does not have is None. The metrics include status, finished epochs and seconds. Raises RunError if a
    directory does not contain a run.
    """
    registry = default_registry() if registry is None else registry
    rows = [_read(Path(directory), registry) for directory in (run, other)]
    options, (one, two) = [_options(row["recipe"]) for row in rows], map(_flat, rows)
    measured = [*_STATE[1:], *(key for key in one | two if key.startswith(_METRIC))]
    return {
        "options": {key: [table.get(key) for table in options] for key in differing_options(options)},
        "metrics": {key: [one.get(key), two.get(key)] for key in measured},
    }


@checked
def prune_runs(
    folder: str | Path = "runs", *, keep: Literal["best", "last"], dry_run: bool = False
) -> list[dict[str, Any]]:
    """Delete the checkpoints of finished runs, and all but one weights file of each run.

    Options, metrics, curves and analyses are kept. A pruned run cannot be resumed. Stopped and running runs
    are skipped with a warning, and so are runs whose weights to keep are damaged, a link, or another run's.

    Args:
        folder: folder that contains run directories, or a run directory.
        keep: weights to keep, the best by validation or the last. If a run has only one of the two, that one
            is kept.
        dry_run: list the files that would be deleted, without deleting them.

    Returns:
        A row for each pruned run: `run`, `files` (names of the deleted files) and `bytes`.

    Raises RunError if the folder does not exist, or if a file cannot be deleted.
    """
    names = (run_files.BEST, run_files.LAST) if keep == "best" else (run_files.LAST, run_files.BEST)
    rows: list[dict[str, Any]] = []
    for directory in _directories(folder):
        if not _surplus(directory, names):
            continue
        try:
            recorded_recipe(directory / run_files.CONFIG)  # no lock is made in a folder of another program
            with nullcontext() if dry_run else owned(directory):
                _require_prunable(directory, names, locked=not dry_run)
                files = _surplus(directory, names)
                size = sum(file.lstat().st_size for file in files)
                rows.append({"run": str(directory), "files": [file.name for file in files], "bytes": size})
                for file in [] if dry_run else files:
                    file.unlink()
        except OSError as error:
            raise RunError(f"{directory} cannot be pruned: {error.strerror or error}") from None
        except ZooError as error:
            warn(f"{directory} is skipped: {first_line(error)}")
    return rows


def _surplus(directory: Path, names: Sequence[str]) -> list[Path]:
    """Return all files of weights and checkpoints in a directory but the first."""
    files = [directory / name for name in (*names, *run_files.CHECKPOINTS)]
    return [file for file in files if os.path.lexists(file)][1:]


def _require_prunable(directory: Path, names: Sequence[str], *, locked: bool) -> None:
    """Raise a ZooError unless a run is finished and the weights to keep are intact, and no link.

    Args:
        locked: whether this process has locked the run.
    """
    if not locked and is_locked(directory):
        raise RunError("it is running")
    if not _is_finished(directory):
        raise RunError("it is not finished")
    verified_card(next(directory / name for name in names if os.path.lexists(directory / name)))
    if folders := [file for file in _surplus(directory, names) if file.is_dir() and not file.is_symlink()]:
        raise RunError(f"{folders[0]} is a folder")


def differing_options(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the options, such as `lr`, whose values differ between the flat options of some runs."""
    known = dict.fromkeys(key for table in tables for key in table)
    return [key for key in known if len({table.get(key) for table in tables}) > 1]


def _found(folder: str | Path, registry: Registry) -> Iterator[dict[str, Any]]:
    """Read the runs in a folder; warn of those that cannot be read."""
    for directory in _directories(folder):
        try:
            yield _read(directory, registry)
        except ZooError as error:
            warn(f"{directory} is skipped: {first_line(error)}")


def _directories(folder: str | Path) -> Iterator[Path]:
    """Return the run directories in a folder by name, `run-2` before `run-10`."""
    if not Path(folder).is_dir():
        what = "is not a folder" if Path(folder).exists() else "does not exist"
        raise RunError(f"{folder} {what}", hint="`zoo train` writes runs to runs/")
    for place, names, files in os.walk(folder):
        names.sort(
            key=lambda name: [int(part) if part.isdecimal() else part for part in _NUMBERS.split(name)]
        )
        if run_files.CONFIG in files:
            names.clear()
            yield Path(place)


def _read(directory: Path, registry: Registry) -> dict[str, Any]:
    """Return the row of a run. Raises RunError if there is none, or a ZooError if it is damaged."""
    require_run(directory)
    _, recipe = recorded_recipe(directory / run_files.CONFIG)
    history = read_rows(directory / run_files.METRICS, Row)
    known = registry.has("architecture", recipe.architecture) and registry.has("dataset", recipe.dataset)
    task = registry.task_of(recipe) if known else None  # a plugin may be missing
    try:
        best = best_by(history, task) if task else None
    except KeyError:  # written by another version of its task
        best = None
    chosen = row_of(history, best) if history else {}
    return {
        "run": str(directory),
        "task": task.name if task else "",
        "recipe": {key: value for key, value in vars(recipe).items() if key != "summary"},
        "status": _status(directory),
        "epochs": epochs_in(history),
        "metrics": {split: chosen[split] for split in SPLITS if split in chosen},
        "seconds": round(sum(row["clock"]["seconds"] for row in history), 3),
    }


def _status(directory: Path) -> str:
    return "running" if is_locked(directory) else "finished" if _is_finished(directory) else "stopped"


def _is_finished(directory: Path) -> bool:
    # A pruned run has no checkpoints, and perhaps only its best weights; metrics were saved with a checkpoint
    held = {name for name in (run_files.LAST, *run_files.CHECKPOINTS) if (directory / name).exists()}
    pruned = not held and (directory / run_files.METRICS).exists() and (directory / run_files.BEST).exists()
    return run_files.LAST in held or pruned


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {
        f"{split}.{name}": value for split, values in row["metrics"].items() for name, value in values.items()
    }
    options = _options(row["recipe"])
    return {"run": row["run"]} | options | metrics | {key: row[key] for key in _STATE}


def _options(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a recipe as numbers and strings, with keys such as `lr` and `model.depth`."""
    parts = {name: recipe[name] for name in ("train", "model", "data")}
    named = {name: value for name, value in recipe.items() if name not in parts} | parts.pop("train") | parts
    flat: dict[str, Any] = {}
    for name, value in named.items():
        nested = isinstance(value, Mapping)
        flat |= {f"{name}.{key}": each for key, each in value.items()} if nested else {name: value}
    return {
        key: value if isinstance(value, str | float) or type(value) is int else as_typed.text(value)
        for key, value in flat.items()
    }


def _sorted(
    rows: Sequence[dict[str, Any]], sort: str, tasks: Sequence[TaskSpec], registry: Registry
) -> list[dict[str, Any]]:
    """Return the rows in the order of a key; those without it come last."""
    key = sort.removeprefix("-")
    known = sorted({name for row in rows for name in row})
    if key not in known:
        near = did_you_mean(key, known)
        hint = None if near else f"keys: {', '.join(known)}"
        raise OptionError(f"sort: no run has the key {key!r}{near}", hint=hint)
    split, _, metric = key.rpartition(".")
    added = [entry.spec for entry in registry.entries_of(MetricSpec) if entry.spec.name == metric]
    better = {name for task in tasks for name in task.higher_is_better}
    better |= {spec.name for spec in added if spec.higher_is_better}
    targets = [spec.target_value for spec in added if spec.target_value is not None and split in SPLITS]
    higher = split in SPLITS and metric in better
    having = [row for row in rows if row.get(key) is not None]

    def place(row: Mapping[str, Any]) -> tuple[bool, Any]:
        value = row[key]
        return isinstance(value, str), abs(value - targets[0]) if targets else value

    having.sort(key=place, reverse=higher != sort.startswith("-"))
    return [*having, *(row for row in rows if row.get(key) is None)]
