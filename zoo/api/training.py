"""Training by name. Nothing imports torch before the names are known to exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.api.listing import default_registry
from zoo.api.progress import Bar, TrainingProgress, quiet
from zoo.api.recipes import find_recipe
from zoo.api.run_directories import require_run
from zoo.config.arguments import checked
from zoo.config.recipe import Recipe
from zoo.errors import warn
from zoo.registry.advice import advising
from zoo.registry.registry import Registry

if TYPE_CHECKING:
    from zoo.api.run import Run
    from zoo.training.clock import Progress
    from zoo.training.lr_finder import Curve

__all__ = ["lr_find", "resume", "train"]


@checked
def train(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    from_weights: str | Path | None = None,
    seed: int | None = None,
    threads: int | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    save_every: str = "5m",
    device: str | None = None,
    all_metrics: bool = False,
    progress: bool = True,
    registry: Registry | None = None,
    **fields: Any,
) -> Run:
    """Train a recipe, or an architecture on a dataset; a process has one training at a time.

    ::

        zoo.train("nietzsche-gru")
        zoo.train("resnet20", "shapes", epochs=4, lr=0.1)

    SIGINT and SIGTERM finish the step, save, and raise Interrupted; `resume=True` continues.

    Args:
        name: a recipe (its name, or a `Recipe`), or an architecture.
        dataset: the dataset to train an architecture on.
        model: option of the architecture.
        data: option of the dataset.
        from_weights: weights to start from (fine-tuning): an id, a file or a run directory.
        seed: random seed for initialization, shuffling, augmentation and dropout; by default the recipe's.
        threads: number of CPU threads; by default one fewer than there are cores, or OMP_NUM_THREADS.
        run: run directory; by default `runs/NAME`, or the first free one of `runs/NAME-2`, ...
        resume: continue from the newest checkpoint, or start if there is none.
        accept_changes: resume even if options or data differ from those of the run.
        save_every: how often to save within an epoch: `500` (steps), `90s`, `5m` or `1h`; `0` is never.
        device: such as `cpu` or `cuda`; by default a GPU, if there is one.
        all_metrics: show every metric of an epoch, such as perplexity, and not only its loss and headline.
        progress: show progress on stderr, or in the notebook.
        registry: where to look for names; by default, installed plugins and registry.toml.
        fields: training fields, as in `TrainConfig`: `epochs=4, lr=0.1, augment=["flip"]`.

    Raises:
        ZooError: see `zoo.errors`; each subclass says what to do.
    """
    registry = default_registry() if registry is None else registry
    options = {"model": model, "data": data, "from_weights": from_weights, "seed": seed, "threads": threads}
    recipe = find_recipe(name, dataset, registry, **options, **fields)
    directory = Path(run) if run is not None else _default_directory(name, dataset, resume=resume)
    saving = {"resume": resume, "accept_changes": accept_changes, "save_every": save_every}
    going_on = resume and (directory / "checkpoint.safetensors").exists()
    title = f"{recipe.architecture} on {recipe.dataset} in {directory}"
    display = TrainingProgress(f"{'resuming' if going_on else 'training'} {title}", all_metrics=all_metrics)
    with display if progress else quiet() as report:
        return _train(recipe, registry, directory, device, report, **saving)


@checked
def resume(
    run: str | Path,
    *,
    save_every: str = "5m",
    device: str | None = None,
    all_metrics: bool = False,
    progress: bool = True,
    registry: Registry | None = None,
) -> Run:
    """Continue a run that was stopped, as its config.toml says; it ends as if it had never stopped.

    Args:
        run: its directory.
        save_every: how often to save within an epoch: `500` (steps), `90s`, `5m` or `1h`; `0` is never.
        device: as in `train`.
        all_metrics: show every metric of an epoch, such as perplexity, and not only its loss and headline.
        progress: as in `train`.
        registry: as in `train`.

    Raises:
        RunError: the directory does not hold a run, or its data has changed.
        ZooError: see `zoo.errors`; each subclass says what to do.
    """
    require_run(Path(run))
    display = TrainingProgress(f"resuming {run}", all_metrics=all_metrics)
    with display if progress else quiet() as report:
        from zoo.api.run import Run

        registry = default_registry() if registry is None else registry
        recipe = Run(run, registry=registry).recipe
        return _train(recipe, registry, Path(run), device, report, resume=True, save_every=save_every)


@checked
def lr_find(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    start: float = 1e-6,
    stop: float = 10.0,
    steps: int = 100,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
    **training: Any,
) -> Curve:
    """Suggest learning rates for what `train` would train with the same arguments. Nothing is kept.

    Warns if the loss hardly fell.

    Args:
        name: as in `train`.
        dataset: as in `train`.
        start: learning rate of the first step.
        stop: learning rate of the last step.
        steps: number of optimizer steps.
        device: as in `train`.
        progress: as in `train`.
        registry: as in `train`.
        training: `model`, `data`, `from_weights`, `seed`, `threads` and training fields, as in `train`.

    Returns:
        The `suggestions` (`valley`, `steep`, `minimum`), and the curve they come from; a notebook shows it.

    Raises:
        Diverged: the loss diverged after too few steps to suggest anything.
        ZooError: see `zoo.errors`; each subclass says what to do.
    """
    registry = default_registry() if registry is None else registry
    recipe = find_recipe(name, dataset, registry, **training)

    title = f"trying learning rates from {start:g} to {stop:g}: {recipe.architecture} on {recipe.dataset}"
    advice = advising(registry, recipe.architecture, recipe.dataset)
    with Bar(title) if progress else quiet() as bar, advice:
        from zoo.models.precision import pick_device
        from zoo.training.lr_finder import RangeTest, find_lr_for

        curve = find_lr_for(
            recipe,
            registry,
            RangeTest(start, stop, steps),
            device=pick_device(device),
            report=lambda done, lr, loss: bar(
                "lr-find", done, steps, "steps", f"lr {lr:.1e}  loss {loss:.4f}"
            ),
        )
    if curve.fall < 0.05:
        warn(f"the loss fell by only {curve.fall:.1%}: treat the suggestions with care, or take more steps")
    return curve


def _train(
    recipe: Recipe,
    registry: Registry,
    directory: Path,
    device: str | None,
    report: Callable[[Progress], None],
    **saving: Any,
) -> Run:
    from zoo.api.run import Run
    from zoo.models.precision import pick_device
    from zoo.training.run import train

    device = pick_device(device)
    with advising(registry, recipe.architecture, recipe.dataset):
        train(recipe, registry, directory=directory, device=device, report=report, **saving)
    return Run(directory, device=device, registry=registry)


def _default_directory(name: str | Recipe, dataset: str | None, *, resume: bool) -> Path:
    """Return runs/NAME, or the first free one of NAME-2, NAME-3 ...; to resume, the last that exists."""
    words = (name.architecture, name.dataset) if isinstance(name, Recipe) else (name, dataset)
    base = "-".join(filter(None, words)).replace("/", "-")
    numbered = [Path("runs") / base]
    while numbered[-1].exists():
        numbered.append(Path("runs") / f"{base}-{len(numbered) + 1}")
    return numbered[-2] if resume and len(numbered) > 1 else numbered[-1]
