"""Compare a run with the recipe that resumes it, and decide which changes are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.config.declarations import OnResume, Option
from zoo.config.recipe import Recipe
from zoo.errors import RunError, warn
from zoo.files.canonical import canonical_json, parse_json
from zoo.training.saved import RunIdentity

# Where data and weights are, but not what is in them: the fingerprint covers that
_IRRELEVANT = ("data.root", "from_weights", "summary")


def drift(before: RunIdentity, now: RunIdentity, options: Mapping[str, Option]) -> dict[str, str]:
    """Return a description of each changed option, by name: `{"train.lr": "train.lr: 0.1 before, 0.2 now"}`.

    Args:
        options: the training options; a run need not record those that have their defaults.
    """
    then, current = (_flat(run.recipe, options) for run in (before, now))
    changes = {
        key: f"{key}: {then.get(key)!r} before, {current.get(key)!r} now"
        for key in sorted(then | current)
        if then.get(key) != current.get(key) and key not in _IRRELEVANT
    }
    if not changes and before.fingerprint != now.fingerprint:
        return {"data": "the data has changed"}
    return changes


def refuse_fixed(changes: Mapping[str, str], options: Mapping[str, Option]) -> None:
    """Raise RunError if an option that must not change during a run has changed."""
    fixed = [key for key in changes if _on_resume(key, options) == "refused"]
    if fixed:
        message = f"{', '.join(fixed)} cannot be changed during a run ({'; '.join(changes.values())})"
        raise RunError(
            message, hint="choose a different --run folder to start over; add --from to reuse these weights"
        )


def warn_of_another_cpu(before: RunIdentity, now: RunIdentity) -> None:
    """Warn if a run continues with different CPU instructions: its results may differ in the last bits."""
    if before.cpu and now.cpu and before.cpu != now.cpu:
        warn(
            f"the run used {before.cpu} CPU instructions, but this process uses {now.cpu}: "
            "results may differ in the last bits"
        )


def changes_batches(changes: Mapping[str, str], options: Mapping[str, Option]) -> list[str]:
    """Return the changed options that affect the batches."""
    return [key for key in changes if _on_resume(key, options) == "restarts-epoch"]


def _on_resume(key: str, options: Mapping[str, Option]) -> OnResume:
    """Return what happens if an option of a recipe changes."""
    table, _, name = key.partition(".")
    if table == "train" and name in options:
        return options[name].on_resume
    return "restarts-epoch" if table in ("seed", "data") else "allowed"


def _flat(recipe: Recipe, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return a recipe as one flat table of JSON data with keys such as `train.epochs`."""
    train = {name: option.default for name, option in options.items()} | recipe.train
    flat: dict[str, Any] = {}
    for key, value in parse_json(canonical_json(recipe.to_dict() | {"train": train})).items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat
