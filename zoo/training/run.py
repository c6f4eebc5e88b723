"""From an experiment to a run directory with a result: what `zoo train` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.errors import DataError, WeightsError
from zoo.files.cards import Card, DatasetCard, read_card
from zoo.interfaces import Dataset, Task
from zoo.models import weights
from zoo.models.precision import resolve
from zoo.registry.experiment import Experiment
from zoo.registry.registry import Registry
from zoo.registry.specs import Recipe
from zoo.training.cadence import Cadence
from zoo.training.directory import RunDirectory, begun_in
from zoo.training.judging import best_epoch
from zoo.training.loop import Progress, fit
from zoo.training.plots import learning_curve
from zoo.training.preparing import prepare
from zoo.training.signals import listening
from zoo.training.state import TrainState

__all__ = ["Result", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished run left behind."""

    run: str
    weights: str
    epochs: int
    steps: int
    metrics: dict[str, dict[str, float]]
    best: dict[str, Any] | None
    """`{weights, epoch, metrics}` of the epoch whose validation was best; None without validation. `weights`
    is None if its file is gone."""
    rate: float
    """Items per second in the last epoch."""
    seconds: float
    """Of training, over all epochs; of an epoch that was stopped, only since it went on."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return asdict(self)


def train(
    experiment: Experiment,
    registry: Registry,
    *,
    directory: Path | str,
    resume: bool = False,
    accept_changes: bool = False,
    save_every: str = "5m",
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
    notice: Callable[[str], None] = lambda text: None,
) -> Result:
    """Run an experiment in `directory`, or go on with the run that is there.

    Everything about the experiment is checked before the directory is touched. SIGINT and SIGTERM finish the
    step, save, and raise Interrupted.

    Args:
        accept_changes: go on although options or data are not those the run began with.
        save_every: how often to save within an epoch: `500` steps, `90s`, `5m`, or `0` for never.

    Raises:
        ZooError: see `zoo.errors`; each says what to do.
    """
    every = Cadence.parse(save_every)
    begun = begun_in(Path(directory)) if resume else None
    made = prepare(experiment, registry, begun=begun, notice=notice)
    task, dataset = made.task, made.dataset
    precision = resolve(made.recipe.precision, device)  # what `auto` means here
    recipe = made.recipe.replace({"precision": precision})
    _require_batches(task, dataset, recipe, notice)
    experiment = replace(
        experiment,
        architecture=made.architecture.name,
        dataset=made.data.name,
        model={name: value for name, value in made.arguments.items() if name not in dataset.dims},
        train=recipe.to_dict(),
    )

    def describe(state: TrainState) -> Card:
        last, plugin = state.history[-1], made.architecture.plugin
        return Card(
            architecture=made.architecture.name,
            arguments=made.arguments,
            task=task.name,
            dataset=DatasetCard(
                name=made.data.name,
                options={key: value for key, value in experiment.data.items() if key != "root"},
                fingerprint=dataset.fingerprint,
            ),
            preprocess=dict(dataset.preprocess),
            recipe=recipe.to_dict(),
            seed=experiment.seed,
            progress={"epochs": state.epoch, "steps": state.steps},
            metrics={split: last[split] for split in ("val", "test") if split in last},
            start=made.start,
            changes=tuple(store.changes),
            versions={
                "zoo": zoo.__version__,
                "torch": torch.__version__.partition("+")[0],
                "plugin": f"{plugin.distribution} {plugin.version}".strip(),
            },
        )

    fingerprint = " ".join(filter(None, (dataset.fingerprint, made.start.get("sha256"))))
    store = RunDirectory(
        Path(directory),
        experiment,
        resume=resume,
        fingerprint=fingerprint,
        start=made.start,
        describe=describe,
        every=every,
        accept_changes=accept_changes,
    )
    with store, listening() as stop:
        threads = torch.get_num_threads()
        torch.set_num_threads(store.threads() or threads)
        try:
            state = fit(
                made.model,
                task,
                dataset,
                recipe,
                seed=experiment.seed,
                device=device,
                store=store,
                report=report,
                stop=stop,
            )
        finally:
            torch.set_num_threads(threads)
            for text in store.notices:
                notice(text)
        if store.epochs_found == state.epoch:
            done = f"{state.epoch} of {recipe.epochs} epochs are done"
            notice(f"the run in {store.path} is finished already: {done}")
        elif state.epoch < recipe.epochs:
            notice(
                f"stopped after epoch {state.epoch} of {recipe.epochs}: "
                f"the validation {task.headline} has not got better for {recipe.patience}"
            )
        size = sum(tensor.nbytes for tensor in state.best.state_dict().values())
        with store.writing(store.weights, needs=size):
            card = weights.save(store.weights, state.best, describe(state))
        with store.writing(store.path / "curve.png"):
            learning_curve(
                store.path / "curve.png",
                state.history,
                task,
                title=f"{made.architecture.name} on {made.data.name}",
            )
    return Result(
        run=str(store.path),
        weights=str(store.weights),
        epochs=state.epoch,
        steps=state.steps,
        metrics=card.metrics,
        best=_best(store, state, task),
        rate=state.history[-1]["clock"]["rate"],
        seconds=round(sum(row["clock"]["seconds"] for row in state.history), 3),
    )


def _best(store: RunDirectory, state: TrainState, task: Task) -> dict[str, Any] | None:
    epoch = best_epoch(state.history, task)
    if epoch is None:
        return None
    try:
        kept = read_card(store.best)[0].progress["epochs"] == epoch
    except WeightsError:
        kept = False  # removed, or of a run from before there was such a file
    path = str(store.best) if kept else None
    return {"weights": path, "epoch": epoch, "metrics": {"val": state.history[epoch - 1]["val"]}}


def _require_batches(task: Task, dataset: Dataset, recipe: Recipe, notice: Callable[[str], None]) -> None:
    """Make the first batch of each split, so that data too small is refused or told before the run begins."""
    first = next(task.train_batches(dataset, recipe, seed=0, epoch=0), None)
    if first is None:
        raise DataError("there is nothing to train on")
    if first.total == 1:
        notice(f"an epoch is a single step: batch_size={recipe.batch_size} takes all there is to train on")
    if not [split for split in ("val", "test") if next(task.eval_batches(dataset, split), None)]:
        notice("there is neither a val nor a test split: nothing but training itself is measured")
