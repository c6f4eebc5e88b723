"""Train models by name. Torch is imported only after all names are resolved."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from zoo.api.resume_hints import resumed_in_python
from zoo.config.arguments import checked, refuse_device
from zoo.config.declarations import Count
from zoo.config.recipe import Recipe
from zoo.config.threads import idle_threads
from zoo.config.torchrun import is_first
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError, RunError
from zoo.files import run_files
from zoo.registry.advice import advising
from zoo.registry.catalog import read_plugin_files
from zoo.registry.plugin_files import plugin_flags
from zoo.registry.registry import Registry, default_registry
from zoo.runs.jobs import Job
from zoo.runs.lock import claimed
from zoo.runs.processes import require_processes
from zoo.runs.resolving import Resolved, resolve, resolve_recipe
from zoo.runs.run_directories import default_directory, require_run
from zoo.runs.save_interval import SaveInterval
from zoo.runs.training_plan import TrainingPlan, plan_training

if TYPE_CHECKING:
    from torch import nn

    from zoo.api.run import Run


@overload
def train(
    name: str | Recipe | Callable[..., nn.Module],
    dataset: object = None,
    *,
    task: str | None = None,
    architecture: str | None = None,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    from_weights: str | Path | None = None,
    seed: int | None = None,
    threads: int | None = None,
    processes: int = 1,
    run: str | Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    save_every: str = "5m",
    stop_after: Count | None = None,
    device: str | None = None,
    all_metrics: bool = False,
    progress: bool = True,
    dry_run: Literal[False] = False,
    registry: Registry | None = None,
    **fields: Any,
) -> Run: ...
@overload
def train(
    name: str | Recipe | Callable[..., nn.Module],
    dataset: object = None,
    *,
    dry_run: Literal[True],
    **options: Any,
) -> TrainingPlan: ...
@checked
def train(
    name: Any,
    dataset: Any = None,
    *,
    task: str | None = None,
    architecture: str | None = None,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    from_weights: str | Path | None = None,
    seed: int | None = None,
    threads: int | None = None,
    processes: int = 1,
    run: str | Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    save_every: str = "5m",
    stop_after: Count | None = None,
    device: str | None = None,
    all_metrics: bool = False,
    progress: bool = True,
    dry_run: bool = False,
    registry: Registry | None = None,
    **fields: Any,
) -> Run | TrainingPlan:
    """Train a model from a recipe, or train an architecture on a dataset.

    A process can train only one model at a time.

    ::

        zoo.train("nietzsche-gru")
        zoo.train("resnet20", "shapes", epochs=4, lr=0.1)
        zoo.train(Net, (images, labels), epochs=3)

    A class and data of this Python session are recorded as `local/...`. A class builds the model from the
    arguments in `model` and from those of the data's dims that it has arguments for, such as `num_classes`.
    Data is a pair of images, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), and N labels, integers or
    strings; a map-style dataset of (image, label); a text for each split; or a dict of `train` and,
    optionally, `val` and `test`. Without `val` and `test`, a tenth of the data is split off for each.

    On SIGINT or SIGTERM, `train` finishes the current step, saves the run and raises Interrupted. To continue
    the run, pass `resume=True`. Raises ZooError: see `zoo.errors` for its subclasses.

    Args:
        name: a recipe (its name or a `Recipe`), an architecture, or a class or function that returns an
            `nn.Module`.
        dataset: the dataset to train an architecture on: its name, or data.
        task: the task of the data, if the data does not show it; required for a `zoo.interfaces.Dataset`.
        architecture: architecture to train in place of the recipe's, with the data, training options and seed
            of the recipe, and those of its architecture options that the architecture also has.
        model: architecture options.
        data: dataset options.
        from_weights: weights to start from (fine-tuning): an id, a file or a run directory.
        seed: random seed for initialization, shuffling, augmentation and dropout; by default, the recipe's
            seed.
        threads: number of CPU threads; by default, OMP_NUM_THREADS if it is set, or one per idle core.
        processes: number of processes on this machine that share each batch; use torchrun for multiple
            machines.
        run: run directory; by default, `runs/NAME`, or the first unused path among `runs/NAME-2`,
            `runs/NAME-3`, ...
        resume: continue from the newest checkpoint, or start a new run if there is no checkpoint.
        accept_changes: resume even if options or data have changed since the run started.
        save_every: how often to save during an epoch, such as `500` (steps), `90s`, `5m` or `1h`; `0` saves
            only after each epoch.
        stop_after: number of epochs after which to stop and save the run; the learning-rate schedule still
            covers all epochs.
        device: device, such as `cpu` or `cuda`; by default, a GPU if one is available.
        all_metrics: show all metrics after each epoch, such as perplexity, instead of only the loss and the
            primary metric.
        progress: show progress on stderr or in the notebook.
        dry_run: write nothing, and return the options with their sources, the number of parameters and of
            steps, and the files that training would write. The data is opened and the model is built.
        registry: registry to use when training in one process; by default, the installed plugins and
            registry.toml.
        fields: training options, as in `TrainConfig`: `epochs=4, lr=0.1, augment=["flip"]`.
    """
    registry = default_registry() if registry is None else registry
    made = name
    if isinstance(dataset, str) and "\n" in dataset:
        raise OptionError("dataset must be a name", hint='a text is passed as {"train": text}')
    if task or not isinstance(name, str | Recipe) or not isinstance(dataset, str | None):
        from zoo.api.local import with_local

        if processes > 1:
            raise OptionError("a class or data of a Python session can only be used in one process")
        registry, name, dataset = with_local(registry, name, dataset, task=task)
    fields |= {"architecture": architecture, "model": model, "data": data}
    fields |= {"from_weights": from_weights, "seed": seed, "threads": threads}
    words = (name, dataset, architecture)
    directory = Path(run) if run is not None else default_directory(*words, resume=resume)
    _check_run(directory, resume=resume, processes=processes, save_every=save_every, device=device)
    continued = resume and (directory / run_files.CHECKPOINT).exists()
    with Bar() if progress else quiet():  # weights to start from may be downloaded
        resolved = resolve(name, dataset, registry, resume=continued, **fields)
    if dry_run:
        advice = advising(registry, resolved.recipe.architecture, resolved.recipe.dataset)
        with Bar() if progress else quiet(), advice:  # data may be downloaded
            return plan_training(resolved, registry, directory=directory, device=device, continued=continued)
    resolved, title = _begun(resolved, directory, processes, continued=continued)
    job = Job(
        directory=str(directory),
        device=device,
        resume=resume,
        save_every=save_every,
        accept_changes=accept_changes,
        stop_after=stop_after or sys.maxsize,
        title=title if progress else "",
        all_metrics=all_metrics,
    )
    with resumed_in_python(resolved.recipe, directory, made), job.display(processes) as report:
        from zoo.api.run import Run

        job.run(resolved, registry, report=report, processes=processes)
        return Run(directory, device=device, registry=registry)


@checked
def resume(
    run: str | Path,
    *,
    architecture: Any = None,
    dataset: Any = None,
    processes: int = 1,
    save_every: str = "5m",
    device: str | None = None,
    all_metrics: bool = False,
    progress: bool = True,
    registry: Registry | None = None,
) -> Run:
    """Continue a stopped run with its original options. On a CPU, interruptions do not change the result.

    Args:
        run: the run directory.
        architecture: the class or function that the run trains, unless it has a name.
        dataset: the data that the run reads, unless it has a name.
        processes: number of processes that share each batch; it can differ from the original number.
        save_every: how often to save during an epoch, such as `500` (steps), `90s`, `5m` or `1h`; `0` saves
            only after each epoch.
        device: as in `train`.
        all_metrics: show all metrics after each epoch, such as perplexity, instead of only the loss and the
            primary metric.
        progress: as in `train`.
        registry: as in `train`.

    Raises:
        RunError: the directory does not contain a run, or the run's data has changed.
        ZooError: see `zoo.errors` for its subclasses.
    """
    require_run(Path(run))
    _check_run(Path(run), resume=True, processes=processes, save_every=save_every, device=device)
    job = Job(
        directory=str(run),
        device=device,
        resume=True,
        save_every=save_every,
        title=f"resuming {run}" if progress else "",
        all_metrics=all_metrics,
    )
    with job.display(processes) as report:
        from zoo.api.run import Run

        registry = default_registry() if registry is None else registry
        recipe = Run(run, registry=registry).recipe
        with resumed_in_python(recipe, run, architecture):
            if architecture is not None or dataset is not None:
                from zoo.api.local import with_local

                data = recipe.dataset if dataset is None else dataset
                registry, *_ = with_local(registry, architecture, data, name=recipe.architecture)
            _require_plugins(Path(run), recipe, registry)
            resolved = resolve_recipe(recipe, registry, resume=True)
            job.run(resolved, registry, report=report, processes=processes)
        return Run(run, device=device, registry=registry)


def _check_run(directory: Path, *, resume: bool, processes: int, save_every: str, device: str | None) -> None:
    """Raise OptionError or RunError if the options or the directory are unusable.

    Torch is loaded only to check that a device other than the CPU exists.
    """
    require_processes(processes)
    SaveInterval.parse(save_every)
    refuse_device(device)
    if device not in (None, "cpu"):
        from zoo.models.device import pick_device

        pick_device(device)
    if directory.exists() and is_first():
        with claimed(directory, resume=resume):
            pass


def _require_plugins(directory: Path, recipe: Recipe, registry: Registry) -> None:
    """Raise RunError, listing the missing files, if a run needs one-file plugins that are not loaded."""
    files = {*read_plugin_files(directory / run_files.CONFIG)} - {*registry.plugin_files}
    known = registry.has("architecture", recipe.architecture) and registry.has("dataset", recipe.dataset)
    if files and not known:
        flags = plugin_flags(sorted(files))
        hint = f"`zoo resume {shlex.quote(str(directory))} {flags}` continues the run"
        raise RunError(f"the run in {directory} was started with {flags}", hint=hint)


def _begun(resolved: Resolved, directory: Path, processes: int, *, continued: bool) -> tuple[Resolved, str]:
    """Return the recipe with its number of threads, and the first line to print.

    A resumed run keeps its number of threads; processes started by torchrun agree on a number later.
    """
    recipe = resolved.recipe
    what = f"{recipe.architecture} on {recipe.dataset} in {directory}"
    if continued:
        return resolved, f"resuming {what}"
    if "RANK" in os.environ:
        return resolved, f"training {what}"
    threads = recipe.threads or idle_threads(processes)
    chosen = replace(resolved, recipe=replace(recipe, threads=threads))
    return chosen, f"training {what} with {threads} thread{'s' * (threads > 1)}"
