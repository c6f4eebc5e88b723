"""Compare a run with the recipe that resumes it, and decide which changes are allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from zoo.config.recipe import Recipe
from zoo.errors import RunError, warn
from zoo.files.canonical import canonical_json, parse_json
from zoo.training.saved import RunIdentity

# Options that the optimizer state or the average of the weights depends on
_FIXED = (
    "train.decay_matrices_only",
    "train.ema_decay",
    "train.freeze",
    "train.layer_decay",
    "train.lr_scales",
    "train.norm_bias_lr_scale",
    "train.optimizer",
    "train.optimizer_options",
)
# Options, besides those of the data and of the task, that decide what is in a batch
_BATCHES = ("seed", "train.batch_size", "train.grad_accum_steps")
# Where data and weights are, but not what is in them: the fingerprint covers that
_IRRELEVANT = ("data.root", "from_weights", "summary")


def drift(before: RunIdentity, now: RunIdentity, defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return a description of each changed option, by name: `{"train.lr": "train.lr: 0.1 before, 0.2 now"}`.

    Args:
        defaults: defaults of the training options, for a run that does not record all of them.
    """
    then, current = (_flat(run.recipe, defaults) for run in (before, now))
    changes = {
        key: f"{key}: {then.get(key)!r} before, {current.get(key)!r} now"
        for key in sorted(then | current)
        if then.get(key) != current.get(key) and key not in _IRRELEVANT
    }
    if not changes and before.fingerprint != now.fingerprint:
        return {"data": "the data has changed"}
    return changes


def refuse_fixed(changes: Mapping[str, str]) -> None:
    """Raise RunError if an option that must not change during a run has changed."""
    fixed = [key for key in changes if key in _FIXED]
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


def changes_batches(changes: Mapping[str, str], cutting: Collection[str]) -> list[str]:
    """Return the changed options that affect the batches.

    Args:
        cutting: the group fields that determine how data is divided into batches.
    """
    batches = {*_BATCHES, *(f"train.{name}" for name in cutting)}
    return [key for key in changes if key in batches or key.startswith("data")]


def _flat(recipe: Recipe, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as one flat table of JSON data with keys such as `train.epochs`."""
    flat: dict[str, Any] = {f"train.{name}": value for name, value in defaults.items()}
    for key, value in parse_json(canonical_json(recipe.to_dict())).items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat
