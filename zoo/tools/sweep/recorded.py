"""Check a run before its result counts: whether it is done, has the options of its trial, and is intact.

The cards of its weights, which have checksums, are compared with the options of the trial, with `config.toml`
and with the metrics in `metrics.jsonl`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.config import options
from zoo.errors import OptionError, RunError, WeightsError, ZooError, ZooWarning, warn
from zoo.files import run_files
from zoo.registry.registry import Registry
from zoo.runs.resolving import resolve
from zoo.runs.run_table import list_runs
from zoo.tools.sweep.search_space import flat
from zoo.tools.sweep.sweep_trial import Trial

_MOVE = "move it, or choose a different folder with --run"


def is_done(trial: Trial, run: Path, registry: Registry) -> bool:
    """Return whether the run of a trial is finished, or has reached the epoch to stop after.

    If a file is damaged that the checkpoint restores when the run is resumed, the run is not done.

    Args:
        run: the run directory, as the user named it.

    Raises RunError if the run has other options than the trial, or if its files cannot be restored.
    """
    if run.is_symlink():
        raise RunError(f"{run} is a link, not a run directory", hint=_MOVE)
    if not (run / run_files.CONFIG).exists():
        return False
    try:
        with warnings.catch_warnings(action="ignore", category=ZooWarning):
            for row in list_runs(run, registry=registry):
                if row["status"] == "finished" or (trial.stop_after and row["epochs"] >= trial.stop_after):
                    _check(row, trial, run, registry)
                    return True
    except WeightsError as error:
        if not (run / run_files.CHECKPOINT).exists():
            raise RunError(str(error), hint=f"delete {run} to train it again") from None
        warn(f"{error}; the run is restored from its checkpoint")
    return False


def _check(row: Mapping[str, Any], trial: Trial, run: Path, registry: Registry) -> None:
    """Raise RunError for other options or damaged best weights, or WeightsError for another damaged file.

    Options that the trial does not set are compared only for the model: zoo may have chosen the others for
    the data.
    """
    from zoo.api.load_weights import load
    from zoo.models.building import model_arguments

    wanted = resolve(trial.name, trial.dataset, registry, resume=True, **trial.training)
    files = [run / name for name in (run_files.BEST, run_files.LAST) if (run / name).exists()]
    for file in files or [run / run_files.CHECKPOINT]:
        try:
            card = load(file, device="cpu", registry=registry).card
        except ZooError as error:
            if file.name == run_files.BEST:
                raise RunError(str(error), hint=f"delete {run} to train it again") from None
            raise
        found: dict[str, Any] = {"seed": card.seed, "threads": row["recipe"]["threads"]}
        found |= {"architecture": card.architecture, "dataset": card.dataset.name}
        found |= {"model": card.arguments, "data": card.dataset.options, "train": card.training}
        option = _difference(vars(wanted.recipe), found)
        if not option and not wanted.recipe.from_weights:  # which decide options that are not set
            given = wanted.recipe.model
            arguments = model_arguments(wanted.architecture, wanted.task, card.arguments, given)
            option = _difference({"model": arguments}, found)
        if option:
            raise RunError(f"{run} was trained with {option}", hint=_MOVE)
        if option := _difference(found, row["recipe"]):
            raise WeightsError(f"{run / run_files.CONFIG} was edited: it has {option}")
        if row["status"] != "finished" and card.progress.get("epochs", 0) > row["epochs"]:
            continue  # the run was killed before it logged this epoch
        if file.name == run_files.BEST or "val" not in card.metrics:
            logged = {split: row["metrics"].get(split) for split in card.metrics} == card.metrics
        else:
            logged = card.progress.get("epochs") == row["epochs"]
        if not logged:
            raise WeightsError(f"{run / run_files.METRICS} does not match {file.name}")


def require_alike(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise RunError unless runs have the same options, apart from the seed and the device's precision."""
    recipes = [{**row["recipe"], "seed": 0} for row in rows]
    first, *others = (row["run"] for row in rows)
    for run, recipe in zip(others, recipes[1:], strict=True):
        if option := _difference(recipes[0], recipe, skipped="precision"):
            hint = "move one of them, or choose a different folder with --run"
            raise RunError(f"{run} was trained with {option} as {first}", hint=hint)


def _difference(wanted: Mapping[str, Any], found: Mapping[str, Any], *, skipped: str = "") -> str:
    """Return the first option that differs between two recipes, such as `lr=0.1, not 0.2`.

    Options that one of the recipes does not have are skipped. Returns an empty string if no option differs.
    """
    recorded = _flat(found)
    for key, value in _flat(wanted).items():
        if key in recorded and key != skipped and not _is_same(value, recorded[key]):
            return f"{key}={options.text(recorded[key])}, not {options.text(value)}"
    return ""


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a recipe by name, with underscores, as the command line reads them."""
    named = {key: recipe[key] for key in recipe if key not in ("from_weights", "summary", "train")}
    return {key.replace("-", "_"): value for key, value in flat({**named, **recipe.get("train", {})}).items()}


def _is_same(given: object, recorded: object) -> bool:
    """Return whether an option, perhaps as the user typed it, has the value that a run recorded."""
    if given == "auto" or options.text(given) == options.text(recorded):
        return True
    try:
        return options.convert(given, type(recorded), what="") == recorded
    except OptionError:
        return False
