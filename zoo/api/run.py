"""`Run`: a training run and its directory."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.api.load_weights import load
from zoo.api.model import Model
from zoo.config.arguments import checked
from zoo.config.recipe import Recipe
from zoo.config.synonyms import refuse_attribute
from zoo.console.figures import primary_metrics
from zoo.errors import CatalogError, RunError, printable
from zoo.files import run_files, style
from zoo.interfaces import SPLITS, Task, make_task
from zoo.registry.catalog import read_recipe
from zoo.registry.registry import Registry, default_registry
from zoo.runs.learning_curve import draw_learning_curve
from zoo.runs.result import Result, read_result
from zoo.runs.run_directories import require_run
from zoo.runs.step_log import read_rows
from zoo.training.best_epoch import best_epoch, epochs_in, row_of
from zoo.training.saved import Row, StepRow, check_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run:
    """A training run, as returned by `zoo.train` or opened with `Run("runs/x")`.

    Attributes:
        directory: the run directory.
        registry: the registry that the run is read with.

    Raises RunError if the directory does not contain a run.
    """

    @checked
    def __init__(self, directory: str | Path, *, device: str | None = None, registry: Registry | None = None):
        self.directory = Path(directory)
        self._device = device
        self.registry = default_registry() if registry is None else registry
        require_run(self.directory)

    def __repr__(self) -> str:
        history = self.history
        row = row_of(history, best_epoch(history, self.task)) if history else {}
        measured = {split: row[split] for split in SPLITS[1:] if split in row}
        parts = [
            self._title,
            f"{epochs_in(history)} epoch{'s' * (epochs_in(history) != 1)}",
            *primary_metrics(measured, self.task.spec),
        ]
        return printable(f"<Run {self.directory}: {', '.join(parts)}>")

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            refuse_attribute(self, name)

    def _repr_png_(self) -> bytes | None:
        return style.png(self.plot()) if self.history else None

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with full names and values for all options."""
        try:
            return read_recipe(self.directory / run_files.CONFIG)
        except CatalogError as error:
            raise RunError(str(error), hint=error.hint) from None

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row per finished epoch: `{epoch, steps, train: {...}, val: {...}, clock: {...}}`.

        A fine-tuned run that started with some of the weights' classes begins with a row for epoch 0, which
        has the `val` metrics of these weights and no `train` metrics.
        """
        return read_rows(self.directory / run_files.METRICS, Row)

    @property
    def steps(self) -> list[dict[str, Any]]:
        """One row for every few optimizer steps: `{epoch, step, loss, lr, rate, time}`.

        `rate` is in items per second, and `time` in seconds since 1970.
        """
        return read_rows(self.directory / run_files.STEPS, StepRow)

    @cached_property
    def model(self) -> Model:
        """The model with the best weights by validation, or with the last weights if there is no validation.

        If the run is not finished, the model has the best or the latest weights that were saved so far, and
        zoo issues a warning. Raises WeightsError if the run has not saved any weights yet.
        """
        return load(self.directory, device=self._device, registry=self.registry)

    @cached_property
    def last(self) -> Model:
        """The model with the last weights that the run saved."""
        return load(self.directory, last=True, device=self._device, registry=self.registry)

    @property
    def result(self) -> Result:
        """The result of a finished run. Raises WeightsError if the run is not finished."""
        return read_result(self.directory, self.history, self.task)

    def plot(self) -> Figure:
        """Plot the task's primary metric, the loss and the learning rate by epoch, and return the figure."""
        if not self.history:
            raise RunError(f"{self.directory} has no finished epochs to plot")
        try:
            check_rows(self.history, self.task.spec.primary_metric)
        except ValueError as error:
            raise RunError(f"{self.directory / run_files.METRICS} is damaged: {error}") from None
        return draw_learning_curve(
            self.history,
            self.task,
            title=self.directory.resolve().name,
            subtitle=self._title,
            steps=self.steps,
        )

    @property
    def _title(self) -> str:
        return f"{self.recipe.architecture} on {self.recipe.dataset}"

    @property
    def task(self) -> Task:
        """The task of the run."""
        return make_task(self.registry, self.registry.task_of(self.recipe).name)
