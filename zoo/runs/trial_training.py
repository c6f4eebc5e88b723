"""Train for a few steps without saving anything. Imports torch only after all names are resolved."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zoo.config.arguments import refuse_device
from zoo.config.recipe import Recipe
from zoo.config.threads import idle_threads
from zoo.console.progress import Bar, quiet
from zoo.registry.advice import advising
from zoo.registry.registry import Registry
from zoo.runs.lock import alone
from zoo.runs.resolving import resolve

if TYPE_CHECKING:
    from zoo.training.trial_steps import TrialSteps


@contextmanager
def trial(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    registry: Registry,
    about: str = "",
    device: str | None = None,
    progress: bool = True,
    **training: Any,
) -> Generator[tuple[TrialSteps, Callable[..., None]]]:
    """Set up training with the arguments of `zoo.train`, for taking steps one by one in the `with` block.

    ::

        with trial("lstm", "nietzsche", registry=registry, batch_size=64) as (steps, report):
            losses = [steps.step(lr) for lr in (1e-4, 1e-3)]

    Nothing is saved; the number of threads and the random generators are restored at the end.

    Args:
        about: description of the work, for the first line of the progress display.
        progress: whether `report(what, done, total, unit, note)` shows progress.
        training: `architecture`, `model`, `data`, `from_weights`, `seed`, `threads` and training options.

    Raises ZooError; see `zoo.errors`.
    """
    refuse_device(device)
    with Bar() if progress else quiet():  # weights to start from may be downloaded
        resolved = resolve(name, dataset, registry, **training)
    recipe = resolved.recipe
    title = f"{recipe.architecture} on {recipe.dataset}"
    shown = Bar(f"{about}: {title}" if about else title) if progress else quiet()
    with alone(), shown as report, advising(registry, recipe.architecture, recipe.dataset):
        from zoo.models.building import generator_restored
        from zoo.models.device import pick_device
        from zoo.models.torch_threads import computing_with
        from zoo.runs.setup import build
        from zoo.training.trial_steps import TrialSteps

        device = pick_device(device)
        with computing_with(recipe.threads or idle_threads()), generator_restored():
            setup = build(resolved, registry, device=device)
            trial = TrialSteps(
                *setup.parts,
                context=setup.context,
                seed=recipe.seed,
                device=device,
                title=title,
                fine_tuned=bool(setup.base_model),
            )
            yield trial, report
