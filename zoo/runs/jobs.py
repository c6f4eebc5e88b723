"""Train in this process or in several others. Imports torch only to train."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.config.options import Typed
from zoo.config.recipe import Recipe
from zoo.config.torchrun import is_first
from zoo.console.progress import TrainingProgress, quiet
from zoo.console.reports import Progress
from zoo.errors import OptionError
from zoo.files import run_files
from zoo.registry.advice import advising
from zoo.registry.registry import Registry
from zoo.runs.processes import run_together
from zoo.runs.resolving import Resolved, resolve_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How to train and save a run and show its progress, as JSON data.

    Attributes:
        directory: the run directory.
        title: first line of the progress display; empty to show nothing.
    """

    directory: str
    device: str | None
    resume: bool
    save_every: str
    accept_changes: bool = False
    stop_after: int = sys.maxsize
    title: str = ""
    all_metrics: bool = False

    def display(self, processes: int = 1) -> AbstractContextManager[Any]:
        """Return a progress display; it shows nothing unless this process trains and is the first."""
        if not self.title or processes > 1 or not is_first():
            return quiet()
        return TrainingProgress(self.title, all_metrics=self.all_metrics)

    def run(
        self,
        resolved: Resolved,
        registry: Registry,
        *,
        report: Callable[[Progress], None],
        processes: int = 1,
    ) -> None:
        """Train a resolved recipe in this process or in several others."""
        with advising(registry, resolved.recipe.architecture, resolved.recipe.dataset):
            if processes == 1:
                self._train(resolved, registry, report)
            else:
                self._distribute(resolved.recipe, registry, processes)

    def _train(self, resolved: Resolved, registry: Registry, report: Callable[[Progress], None]) -> None:
        from zoo.models.device import pick_device
        from zoo.runs.lifecycle import train

        train(
            resolved,
            registry,
            directory=self.directory,
            resume=self.resume,
            accept_changes=self.accept_changes,
            save_every=self.save_every,
            stop_after=self.stop_after,
            device=pick_device(self.device),
            report=report,
        )

    def _distribute(self, recipe: Recipe, registry: Registry, processes: int) -> None:
        if not registry.discovered:
            message = f"processes must be 1 with a custom registry (got {processes:,})"
            raise OptionError(message, hint="use torchrun to start a script that creates the registry")
        content = recipe.to_dict()
        typed = {
            table: [key for key, value in content[table].items() if isinstance(value, Typed)]
            for table in ("model", "data")
        }
        job = {**asdict(self), "recipe": content, "typed": typed}
        resume = shlex.join(["zoo", "resume", self.directory, "--processes", str(processes)])
        run_together(processes, job, resume=resume)


def run_job(content: Mapping[str, Any]) -> None:
    """Train on behalf of another zoo process; see `zoo.runs.processes`."""
    own = dict(content)
    recipe = Recipe(**own.pop("recipe"))
    for name, keys in own.pop("typed").items():
        table = getattr(recipe, name)
        table.update({key: Typed(table[key]) for key in keys})
    job = Job(**own)
    with job.display() as report:
        registry = Registry.discover()
        continued = job.resume and Path(job.directory, run_files.CHECKPOINT).exists()
        resolved = resolve_recipe(recipe, registry, resume=continued)
        job.run(resolved, registry, report=report)
