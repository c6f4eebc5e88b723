"""Choose a run directory, or check one: that it contains a run, or intact weights. Does not import torch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from zoo.config.near_names import nearest_names
from zoo.config.recipe import Recipe
from zoo.errors import RunError, WeightsError
from zoo.files import run_files
from zoo.files.cards import Card, read_card
from zoo.registry.catalog import recorded_recipe

# The most runs that an error lists
_MOST = 5


def require_run(directory: Path) -> None:
    """Raise RunError, with a list of existing runs, if a directory does not contain a run."""
    if (directory / run_files.CONFIG).is_file():
        return
    if (directory.parent / run_files.CONFIG).is_file():
        inside = shlex.quote(str(directory.parent))
        hint = f"use its parent directory: `zoo resume {inside}`"
        raise RunError(f"{directory} does not contain a run: it has no {run_files.CONFIG}", hint=hint)
    runs = _runs_near(directory)
    listed = ", ".join(runs[:_MOST]) + f" and {len(runs) - _MOST} more" * (len(runs) > _MOST)
    hint = f"existing runs: {listed}" if runs else "`zoo train` starts a run"
    if directory.exists():
        raise RunError(f"{directory} does not contain a run: it has no {run_files.CONFIG}", hint=hint)
    raise RunError(f"no such run directory: {directory}{_nearest(directory, runs)}", hint=hint)


def verified_card(path: Path) -> Card:
    """Return the card of a run's weights file after verifying every byte, and that the run wrote it.

    Raises WeightsError if the file is a link, is damaged, or belongs to another run, and CatalogError if the
    run's config.toml cannot be read.
    """
    if path.is_symlink():
        raise WeightsError(f"{path} is a link")
    card, (_, recipe) = read_card(path), recorded_recipe(path.parent / run_files.CONFIG)
    found = {"architecture": card.architecture, "dataset": card.dataset.name, "seed": card.seed}
    found |= {name: card.arguments.get(name) for name in recipe.model}
    expected = {name: getattr(recipe, name) for name in ("architecture", "dataset", "seed")} | recipe.model
    for name, value in expected.items():
        if found[name] != value:
            message = f"{path} belongs to another run: its {name} is {found[name]}, not {value}"
            raise WeightsError(message)
    return card


def default_directory(
    name: str | Recipe, dataset: str | None, architecture: str | None = None, *, resume: bool
) -> Path:
    """Return runs/NAME, or the first unused path among runs/NAME-2, ...; to resume, the last existing one."""
    words = (name.architecture, name.dataset) if isinstance(name, Recipe) else (name, dataset)
    words = (*words, architecture)
    base = re.sub("[/:@]", "-", "-".join(filter(None, words)))[:200]  # so that a file system has it
    numbered = [Path("runs") / base]
    while numbered[-1].exists():
        numbered.append(Path("runs") / f"{base}-{len(numbered) + 1}")
    return numbered[-2] if resume and len(numbered) > 1 else numbered[-1]


def _nearest(directory: Path, runs: Sequence[str]) -> str:
    """Return a suggestion of a run with a similar name, or an empty string."""
    by_name = {Path(run).name: run for run in reversed(runs)}
    close = nearest_names(directory.name, by_name)
    return f"; did you mean {by_name[close[0]]!r}?" if close else ""


def _runs_near(directory: Path) -> list[str]:
    """Return the runs in a directory, in its parent, and in runs/."""
    places = dict.fromkeys((directory, directory.parent, Path("runs")))
    return [str(config.parent) for place in places for config in sorted(place.glob(f"*/{run_files.CONFIG}"))]
