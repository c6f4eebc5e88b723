"""List, compare and prune training runs, from what their directories hold. Torch-free."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.api.listing import default_registry
from zoo.api.where import matching
from zoo.config.arguments import checked
from zoo.config.options import text
from zoo.config.recipe import Recipe
from zoo.config.train_config import SPLITS
from zoo.errors import OptionError, RunError, ZooError, did_you_mean, first_line, warn
from zoo.files.atomic import atomic_write
from zoo.registry.catalog import recorded_recipe
from zoo.registry.provided import provided
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec
from zoo.registry.weights_files import SAVED, WEIGHTS
from zoo.runs.lock import claimed, is_locked
from zoo.runs.run_directories import require_run
from zoo.runs.step_log import read_rows
from zoo.training.early_stopping import best_by
from zoo.training.saved import Row, StepRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEST, _LAST = "best.safetensors", "model.safetensors"
# Keys of a flat row that are no options of the run: its state, and the beginnings of its metrics
_STATE = ("run", "status", "epochs", "seconds")
_METRIC = tuple(f"{split}." for split in SPLITS)


class RunList(list[dict[str, Any]]):
    """A list of rows, one for each run, which a notebook displays as a table."""

    def flat(self) -> list[dict[str, Any]]:
        """Return the rows without nesting, with keys such as `lr`, `model.hidden_size` and `val.loss`."""
        return [*map(_flat, self)]

    def to_pandas(self) -> Any:
        """Return the flat rows as a pandas DataFrame. Raises OptionError if pandas is not installed."""
        if not find_spec("pandas"):
            raise OptionError("to_pandas requires pandas", hint="pandas is a separate package")
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
    such as `lr`; `model.NAME` and `data.NAME`; metrics such as `val.loss`.

    Args:
        folder: folder that contains run directories, or a run directory.
        where: comparisons such as `val.loss<1.3 and model.hidden_size=256`.
        sort: key to sort by: metrics from best to worst, other keys in ascending order; a `-` in front of the
            key reverses the order.
        registry: registry that defines the tasks; by default, installed plugins and registry.toml.

    Returns:
        One row for each run: `run` (its directory), `task`, `recipe`, `status` (`finished`, `running` or
        `stopped`), `epochs` (finished ones), `metrics` by split, of the best epoch by validation or, without
        validation, of the last epoch, and `seconds` of training.

    Raises RunError if the folder does not exist, and OptionError if `where` or `sort` uses a key that no run
    has. A run whose files cannot be read is left out with a warning.
    """
    registry = default_registry() if registry is None else registry
    found: dict[str, tuple[dict[str, Any], TaskSpec | None]] = {}
    for directory in _directories(_existing(folder)):
        try:
            found[str(directory)] = _read(directory, registry)
        except ZooError as error:
            warn(f"{directory} is left out: {first_line(error)}")
    flat = [_flat(row) for row, _ in found.values()]
    if where is not None:
        flat = matching(flat, where, what="run")
    if sort is not None and flat:
        flat = _sorted(flat, sort, [task for _, task in found.values() if task])
    return RunList(found[row["run"]][0] for row in flat)


@checked
def diff_runs(
    run: str | Path, other: str | Path, *, registry: Registry | None = None
) -> dict[str, dict[str, list[Any]]]:
    """Compare two runs: return `{options: {key: [a, b]}, metrics: {key: [a, b]}}`.

    Options are those that differ, under the keys of `list_runs`; one that a run does not have is None.
    Metrics include status, finished epochs and seconds. Raises RunError if a directory does not hold a run.
    """
    registry = default_registry() if registry is None else registry
    rows: list[dict[str, Any]] = []
    for directory in (run, other):
        require_run(Path(directory))
        rows.append(_flat(_read(Path(directory), registry)[0]))
    one, two = rows
    measured = [*_STATE[1:], *(key for key in one | two if key.startswith(_METRIC))]
    keys = {"options": options_in(rows), "metrics": measured}
    return {name: {key: [one.get(key), two.get(key)] for key in chosen} for name, chosen in keys.items()}


@checked
def prune_runs(
    folder: str | Path = "runs", *, keep: Literal["best", "last"], dry_run: bool = False
) -> list[dict[str, Any]]:
    """Delete the checkpoints of finished runs, and all weights but one file; such a run cannot be resumed.

    Options, metrics, curves and analyses stay. Runs that are stopped or running are left alone.

    Args:
        folder: folder that contains run directories, or a run directory.
        keep: which weights to keep: the best ones by validation, or the last ones. Without validation, a run
            has only the last ones.
        dry_run: only return what would be deleted.

    Returns:
        A row for each pruned run: `run`, `files` (names of the deleted files) and `bytes`.

    Raises RunError if the folder does not exist, or a file cannot be deleted.
    """
    rows: list[dict[str, Any]] = []
    for directory in _directories(_existing(folder)):
        kept = _BEST if keep == "best" and (directory / _BEST).exists() else _LAST
        files = [directory / name for name in WEIGHTS if name != kept and (directory / name).exists()]
        if _status(directory) != "finished" or not files:
            continue
        size = sum(file.stat().st_size for file in files)
        rows.append({"run": str(directory), "files": [file.name for file in files], "bytes": size})
        if not dry_run:
            with claimed(directory, resume=True):
                for file in files:
                    file.unlink()
    return rows


@checked
def plot_runs(*runs: str | Path, metric: str | None = None, registry: Registry | None = None) -> Figure:
    """Plot the training loss by step, and the primary metric on validation data by epoch, of several runs.

    Runs that differ only in their seed are drawn as one line, the mean, in a band from the lowest to the
    highest value. The training loss is smoothed by an exponential moving average.

    Args:
        runs: their directories.
        metric: metric to plot instead of the primary one, such as `val.loss`.

    Returns:
        The matplotlib figure, which a notebook displays.

    Raises:
        RunError: a directory does not hold a run, or no run has a finished epoch.
        OptionError: no run has that metric.
    """
    registry = default_registry() if registry is None else registry
    return provided("zoo_diagnose.runs", "draw_runs", registry)([*_curves(runs, registry)], metric)


@checked
def report_runs(
    folder: str | Path = "runs", out: str | Path = "report.html", *, registry: Registry | None = None
) -> None:
    """Write the runs in a folder as one HTML file with a table and curves.

    The file needs no other file and no network. Raises RunError if the folder has no run with a finished
    epoch, or if the file cannot be written.
    """
    registry = default_registry() if registry is None else registry
    runs = [row["run"] for row in list_runs(folder, registry=registry)]
    content = provided("zoo_diagnose.runs", "report", registry)([*_curves(runs, registry)], str(folder))
    with atomic_write(Path(out)) as file:
        file.write(content.encode())


def _curves(runs: Sequence[str | Path], registry: Registry) -> Iterator[dict[str, Any]]:
    """Return the row of each run with its flat `options`, its `task`, and its rows of epochs and steps."""
    for directory in map(Path, runs):
        require_run(directory)
        row, task = _read(directory, registry)
        logs = {"history": ("metrics.jsonl", Row), "steps": ("steps.jsonl", StepRow)}
        read = {name: read_rows(directory / file, kind) for name, (file, kind) in logs.items()}
        yield row | read | {"options": _options(row["recipe"]), "task": task}


def options_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the options, such as `lr`, whose values differ between some flat rows."""
    known = dict.fromkeys(key for row in rows for key in row if not key.startswith(_METRIC))
    return [key for key in known if key not in _STATE and len({row.get(key) for row in rows}) > 1]


def _existing(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise RunError(f"no such folder: {folder}", hint="`zoo train` writes runs into runs/")
    return Path(folder)


def _directories(folder: Path) -> Iterator[Path]:
    """Return the run directories in a folder, by name, with numbers in numeric order."""
    for place, names, files in os.walk(folder):
        names.sort(key=lambda name: [(not part.isdigit(), part.zfill(12)) for part in name.split("-")])
        if "config.toml" in files:
            names.clear()
            yield Path(place)


def _read(directory: Path, registry: Registry) -> tuple[dict[str, Any], TaskSpec | None]:
    """Return the row of a run, and its task unless its plugin is missing."""
    _, recipe = recorded_recipe(directory / "config.toml")
    history = read_rows(directory / "metrics.jsonl", Row)
    task = _task(recipe.architecture, recipe.dataset, registry)
    try:
        best = best_by(history, task) if task else None
    except KeyError:  # written by another version of its task
        best = None
    chosen = history[(best or len(history)) - 1] if history else {}
    row = {
        "run": str(directory),
        "task": task.name if task else "",
        "recipe": {key: value for key, value in vars(recipe).items() if key != "summary"},
        "status": _status(directory),
        "epochs": len(history),
        "metrics": {split: chosen[split] for split in SPLITS if split in chosen},
        "seconds": round(sum(row["clock"]["seconds"] for row in history), 3),
    }
    return row, task


@functools.cache
def _task(architecture: str, dataset: str, registry: Registry) -> TaskSpec | None:
    try:
        return registry.task_of(Recipe(architecture=architecture, dataset=dataset))
    except ZooError:
        return None


def _status(directory: Path) -> str:
    if is_locked(directory):
        return "running"
    if any((directory / name).exists() for name in (_LAST, *SAVED)):
        return "finished" if (directory / _LAST).exists() else "stopped"
    return "finished" if (directory / _BEST).exists() else "stopped"  # finished and pruned, or stopped early


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {
        f"{split}.{name}": value for split, values in row["metrics"].items() for name, value in values.items()
    }
    options = _options(row["recipe"])
    return {"run": row["run"]} | options | metrics | {key: row[key] for key in _STATE}


def _options(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a recipe as numbers and strings, with keys such as `lr` and `model.depth`."""
    flat = {key: value for key, value in recipe.items() if key not in ("train", "model", "data")} | recipe[
        "train"
    ]
    for table in ("model", "data"):
        flat |= {f"{table}.{key}": value for key, value in recipe[table].items()}
    return {key: value if _is_number(value) else text(value) for key, value in flat.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sorted(rows: Sequence[dict[str, Any]], sort: str, tasks: Sequence[TaskSpec]) -> list[dict[str, Any]]:
    """Return the rows in the order of a key; those without it come last."""
    key = sort.removeprefix("-")
    known = sorted({name for row in rows for name in row})
    if key not in known:
        message = f"sort: no run has the key {key!r}{did_you_mean(key, known)}"
        raise OptionError(message, hint=f"keys: {', '.join(known)}")
    split, _, metric = key.rpartition(".")
    higher = split in SPLITS and any(metric in task.higher_is_better for task in tasks)
    having = [row for row in rows if row.get(key) is not None]
    having.sort(key=lambda row: (isinstance(row[key], str), row[key]), reverse=higher != sort.startswith("-"))
    return [*having, *(row for row in rows if row.get(key) is None)]
