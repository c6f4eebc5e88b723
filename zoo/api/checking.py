"""What can be found wrong with a training without its data and without torch, which take seconds to load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.api.processes import require_processes
from zoo.api.terminal import is_first
from zoo.config.arguments import is_url, refuse_device
from zoo.config.recipe import Recipe
from zoo.errors import DataError
from zoo.registry.registry import Registry
from zoo.registry.weights_files import locate_weights
from zoo.training.claim import claimed
from zoo.training.save_interval import SaveInterval

__all__ = ["check_recipe", "check_run"]


def check_run(directory: Path, *, resume: bool, processes: int, save_every: str, device: str | None) -> None:
    """Raise OptionError or RunError if nothing can be trained so, or not in that directory."""
    require_processes(processes)
    SaveInterval.parse(save_every)
    refuse_device(device)
    if directory.exists() and is_first():
        with claimed(directory, resume=resume):
            pass


def check_recipe(recipe: Recipe, registry: Registry, *, resume: bool = False) -> None:
    """Raise a ZooError if the options of a model or of data, or the weights to start from, do not exist."""
    architecture, dataset = registry.architecture(recipe.architecture), registry.dataset(recipe.dataset)
    dims = registry.shared_task(architecture, dataset).dims
    architecture.check_names({**architecture.spec.config, **recipe.model}, flag="--model", filled=dims)
    options: Mapping[str, Any] = {**dataset.spec.config, **recipe.data}
    dataset.check_names(options, flag="--data")
    root = options.get("root")
    if isinstance(root, str) and root and not is_url(root) and not Path(root).expanduser().is_dir():
        raise DataError(f"there is no folder {root!r}", hint=f"`zoo show {dataset.name}` says what root is")
    name = recipe.from_weights
    if name and not (resume or registry.weights.find(name) or registry.has("architecture", name)):
        locate_weights(registry, name)
