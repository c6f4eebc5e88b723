"""Train a recipe in a run directory."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from zoo.config.threads import idle_threads
from zoo.console.figures import figure
from zoo.console.reports import Progress
from zoo.distributed.ranks import Ranks, joined
from zoo.distributed.synced_norm import unsynced_norms
from zoo.errors import ZooWarning, cause, warn
from zoo.evaluation.baseline import beats_baseline, warn_of_a_wrong_sign
from zoo.files import run_files, style
from zoo.files.atomic import atomic_write
from zoo.files.cards import read_card
from zoo.models.precision import kernels
from zoo.models.torch_threads import computing_with
from zoo.models.weights import warn_of_another_version
from zoo.registry.registry import Registry
from zoo.runs.card import make_card
from zoo.runs.checkpoint import Checkpoints
from zoo.runs.directory import RunDirectory
from zoo.runs.learning_curve import draw_learning_curve
from zoo.runs.lock import alone
from zoo.runs.resolving import Resolved
from zoo.runs.result import Result, read_result
from zoo.runs.save_interval import SaveInterval
from zoo.runs.setup import TrainingSetup, build
from zoo.runs.signals import listening
from zoo.runs.step_log import read_rows
from zoo.training.best_epoch import best_epoch, is_finished, row_of
from zoo.training.failures import lower
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.saved import CheckpointInfo, StepRow
from zoo.training.state import TrainState
from zoo.training.store import NoStore
from zoo.training.torch_compile import uncompilable

# A loss that is this many times as high as at the start is worth a warning
_RISE = 100
# Epochs of a training whose best epoch can be called early
_FEW_EPOCHS = 4


def ignore(progress: Progress) -> None:
    """Ignore progress reports."""


@alone()
def train(
    resolved: Resolved,
    registry: Registry,
    *,
    directory: Path | str,
    resume: bool = False,
    accept_changes: bool = False,
    save_every: str = "5m",
    stop_after: int = sys.maxsize,
    device: str = "cpu",
    report: Callable[[Progress], None] = ignore,
) -> Result | None:
    """Train a resolved recipe in `directory`, or continue the run in it.

    Everything is checked before the directory is changed. On SIGINT or SIGTERM, this function finishes the
    step, saves the run, and raises Interrupted. Under torchrun, every process must call it.

    Args:
        accept_changes: continue a run even if its options or its data have changed.
        save_every: how often to save within an epoch: `500` steps, `90s`, `5m`, or `0` for never.
        stop_after: number of epochs after which to stop; the run can then be resumed, and the result is None.
        report: called after each batch and each epoch.

    Raises:
        ZooError: see `zoo.errors` for its subclasses.
    """
    interval = SaveInterval.parse(save_every)
    checkpoints = Checkpoints(Path(directory))
    with joined(device) as ranks, _one_voice(ranks):
        checkpoint = checkpoints.newest() if resume and ranks.first else None
        info = ranks.broadcast(lambda: checkpoint.info if checkpoint else None, CheckpointInfo | None)
        recipe = resolved.recipe
        chosen = recipe.threads or (info.identity.recipe.threads if info else 0)
        threads = ranks.broadcast(lambda: chosen or idle_threads(ranks.local_world_size), int)
        with computing_with(threads), ranks.in_turn():
            settled = replace(resolved, recipe=replace(recipe, threads=threads))
            setup = build(settled, registry, device=device, resumed=info)
            setup.check_batches(ranks.world_size)
        ranks.begun()
        _warn_of_layers(setup, ranks)
        if checkpoint is not None:
            warn_of_another_version(checkpoint.path, read_card(checkpoint.path), setup.architecture.plugin)
        run = RunDirectory(
            Path(directory),
            setup.identity,
            resume=resume,
            checkpoints=checkpoints,
            interval=interval,
            accept_changes=accept_changes,
            plugin_files=registry.plugin_files,
            options=setup.config.fields,
            make_card=partial(make_card, setup),
        )
        stopping = listening(patient=ranks.world_size > 1)
        fast = kernels(device, deterministic=setup.config.deterministic)
        with run if ranks.first else nullcontext(), stopping as stop, computing_with(threads), fast:
            state = fit(
                *setup.parts,
                context=setup.context,
                seed=recipe.seed,
                device=device,
                measure_start=setup.measure_start,
                host=Host(
                    store=run if ranks.first else NoStore(),
                    report=_warning_of_a_wrong_sign(_warning_of_a_rise(report, setup), setup)
                    if ranks.first
                    else ignore,
                    stop=stop,
                    ranks=ranks,
                    stop_after=stop_after,
                ),
            )
            if not is_finished(state.history, setup.task, setup.config):
                return None
            with ranks.in_turn():
                if ranks.first:
                    run.write_weights(run.weights, state, make_card(setup, state, run.changes))
                    _save_curve(run, setup, state)
        _warn_of_early_end(run, setup, state)
        _warn_of_early_best(setup, state)
        result = read_result(run.path, state.history, setup.task)
        for split, metrics in result.metrics.items():
            beats_baseline(metrics, setup.task, setup.dataset.preprocess, split=split)
        return result


def _warn_of_layers(setup: TrainingSetup, ranks: Ranks) -> None:
    """Warn about layers that do not support part of the training configuration."""
    config, model = setup.config, setup.model
    if ranks.world_size > 1 and config.sync_batch_norm and (apart := unsynced_norms(model)):
        warn(f"{apart[0]} cannot be synchronized, so it normalizes each process's part of a batch separately")
    if config.compile and (name := uncompilable(model)):
        warn(f"the model is not compiled: torch.compile does not support {name}, a PyTorch recurrent layer")


@contextmanager
def _one_voice(ranks: Ranks) -> Generator[None]:
    """Suppress warnings in all processes except the first."""
    if ranks.first:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)
        yield


def _save_curve(run: RunDirectory, setup: TrainingSetup, state: TrainState) -> None:
    """Draw `curve.png`."""
    path = run.path / run_files.CURVE
    name = run.path.resolve().name
    steps = read_rows(run.path / run_files.STEPS, StepRow)
    try:
        png = style.png(
            draw_learning_curve(state.history, setup.task, title=name, subtitle=setup.title, steps=steps)
        )
    except (ArithmeticError, ValueError) as error:  # numbers that no axis can show; the training is done
        warn(f"{path} could not be drawn: {cause(error)}")
        return
    with run.writing(path) as folder, atomic_write(path, folder=folder) as file:
        file.write(png)


def _warning_of_a_rise(
    report: Callable[[Progress], None], setup: TrainingSetup
) -> Callable[[Progress], None]:
    """Return a report function that also warns once if the loss rises far above its initial value."""
    start, risen = setup.task.baseline(setup.dataset.preprocess).get("loss", 0.0), False

    def watching(progress: Progress) -> None:
        nonlocal start, risen
        if progress.epoch == progress.batch == 1:
            start = max(start, progress.loss)
        if progress.row is None and progress.loss > _RISE * start > 0 and not risen:
            risen = True
            rise = f"from {start:.3g} to {progress.loss:.3g}"
            where = f"epoch {progress.epoch}, batch {progress.batch}"
            warn(f"the loss rose {rise} in {where}; try lr={lower(setup.config.lr)}")
        report(progress)

    return watching


def _warning_of_a_wrong_sign(
    report: Callable[[Progress], None], setup: TrainingSetup
) -> Callable[[Progress], None]:
    """Return a report function that also warns after the first epoch if the loss may have the wrong sign.

    The minimized loss then fell by half of the loss of a random baseline, while the training metrics were
    worse than this baseline. With the task's own loss, both cannot happen.
    """
    config, task, data = setup.config, setup.task, setup.dataset
    loss = f"the loss {config.loss}" if config.loss else f"the loss of the task {task.name}"
    level = task.baseline(data.preprocess).get("loss", 0.0)
    first, total = math.nan, 0.0  # an epoch that was resumed is not judged

    def watching(progress: Progress) -> None:
        nonlocal first, total
        if progress.epoch == 1 and progress.is_step:
            first = progress.loss if progress.batch == 1 else first
            total += progress.loss
        row = progress.row if progress.epoch == 1 and math.isfinite(first) else None
        if row and total / progress.batches < min(first, level) - level / 2:
            metrics, count = row["train"], len(data.split("train"))
            warn_of_a_wrong_sign(metrics, task, data.preprocess, count=count, loss=loss)
        report(progress)

    return watching


def _warn_of_early_end(run: RunDirectory, setup: TrainingSetup, state: TrainState) -> None:
    epochs = setup.config.epochs
    if run.is_unchanged(state):
        warn(f"the run in {run.path} is already finished: {state.epoch} of {epochs} epochs are done")
    elif state.epoch < epochs:
        metric = f"the validation {setup.task.spec.primary_metric}"
        warn(
            f"stopped early after epoch {state.epoch} of {epochs}: {metric} has not improved "
            f"(patience={setup.config.patience})"
        )


def _warn_of_early_best(setup: TrainingSetup, state: TrainState) -> None:
    """Warn if validation was at its best in the first quarter of the training."""
    best, spec = best_epoch(state.history, setup.task), setup.task.spec
    if best is None or 4 * best >= state.epoch or state.epoch < _FEW_EPOCHS:
        return
    name, unit = spec.primary_metric, spec.units.get(spec.primary_metric, "")
    values = [figure(row_of(state.history, epoch)["val"][name], unit) for epoch in (best, None)]
    which = f"epoch {best} of {state.epoch}" if best else "the start, before any training"
    warn(
        f"validation was best at {which}: {name} {values[0]}, and {values[1]} at the end; "
        f"try lr={lower(setup.config.lr)} or fewer epochs"
    )
