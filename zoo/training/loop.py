"""The training loop, once, for every model: it knows neither tasks nor architectures.

On a device other than the CPU no step waits for what it computes: reports, the log, and the search for
numbers that are not finite follow a tenth of a second later. What is saved has been looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config.training import TrainConfig
from zoo.console.reports import Progress
from zoo.distributed.buffers import ChangedBuffers
from zoo.distributed.ranks import ALONE, Ranks
from zoo.distributed.sharding import lane_dims, measure_together, of_all, own_batches
from zoo.distributed.synced_norm import synced_norms
from zoo.errors import OptionError, WeightsError
from zoo.evaluation.measure import measure, metrics_of
from zoo.interfaces import Batch, CarriesState, Dataset, Split, Task
from zoo.models.building import generator_restored
from zoo.models.hooks import evaluating, uncompiled
from zoo.models.precision import Precision, autocast, resolve
from zoo.models.recurrent import Trainable
from zoo.seeds import GLOBAL_GENERATOR
from zoo.training.clock import Clock
from zoo.training.compiling import begin_compiled_step, compiled, keep_gradients, kept, uncompilable
from zoo.training.early_stopping import best_epoch, out_of_patience
from zoo.training.failures import (
    diverged,
    interrupted,
    misfit_as_error,
    out_of_memory_as_error,
    require_finite,
)
from zoo.training.freezing import freeze, train_mode
from zoo.training.hidden import leaves_of, nested
from zoo.training.readings import Readings
from zoo.training.saved import SavedState, check_rows
from zoo.training.schedules import learning_rate
from zoo.training.shared_store import shared
from zoo.training.state import TrainState
from zoo.training.store import NoStore, Store

__all__ = ["completes_step", "fit", "train_step"]


def fit(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    config: TrainConfig,
    *,
    context: int = 0,
    seed: int = 0,
    device: str = "cpu",
    store: Store = NoStore(),  # noqa: B008 - it has no state
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], int] = lambda: 0,
    ranks: Ranks = ALONE,
) -> TrainState:
    """Train `model` in place; return the final state, whose `history` has one row per epoch.

    The `val` split is evaluated after each epoch; if there is none, the `test` split after the last epoch.
    Frozen parameters stay frozen afterwards.

    Args:
        context: as in `measure`; unless it is 0, each batch starts from an empty state.
        store: saves the run after each epoch, when a save is due and when stopped; resuming starts from it.
        report: called for each batch, after each evaluated batch and after each epoch.
        stop: called after each optimizer step and evaluated batch; a signal number saves and stops the run.
        ranks: this process among those of the run.

    Raises:
        OptionError: this device or this data does not support an option.
        Diverged: a loss, a gradient, a weight or a metric is not finite. The last save is kept.
        RunError: out of memory. The last save is kept.
        Interrupted: `stop` returned a signal number.
    """
    readings = Readings(at_once=torch.device(device).type == "cpu")
    on: Any = {"device": device, "ranks": ranks}
    config, state, step = _begun(model, dataset, config, context, readings=readings, **on)
    batches = own_batches(partial(task.train_batches, dataset, config, seed=seed, device=device), ranks)
    store, stop = shared(store, stop, ranks, dims=lane_dims(model, task, **on), lanes=config.batch_size)
    _restore(state, task, batches, store, device)
    save, unit = partial(_save, state, config, store, readings), task.processor.unit(dataset.preprocess)
    pause, clock = partial(_pause, state, store, stop, save), None
    with _ready_to_train(model, config, **on) as buffers:
        while not _is_done(state, task, config):
            clock = Clock(state.epoch + 1, config, task.spec, unit=unit, before=clock)
            train_mode(model, config.freeze)
            for batch in batches(epoch=state.epoch, start=state.batch):
                lr = learning_rate(config, state.epoch + (batch.index + 0.5) / batch.total)
                with misfit_as_error(state.untried), out_of_memory_as_error(config, _where(state, batch)):
                    loss = step(state, task, batch, config, lr, buffers=buffers)
                steps = state.steps if completes_step(batch, config) else None
                readings.then(loss, partial(_tell, batch, lr, steps, clock, store, report))
                readings.read_if_due()
                if steps is not None:
                    pause(within=state.batch < batch.total)
            readings.read()
            row = _evaluate_epoch(state, task, dataset, config, clock, report, pause=pause, **on)
            report(clock.end(row, _end_epoch(state, row, task, config, store)))
            if not _is_done(state, task, config) and (signal := stop()):
                raise interrupted(signal, state.where, state.steps, store.path)
    return state


@contextmanager
def _ready_to_train(
    model: nn.Module, config: TrainConfig, *, device: str, ranks: Ranks
) -> Generator[ChangedBuffers]:
    """Let a model be trained inside as the configuration says. Restore torch's global generator."""
    synced = synced_norms(model, ranks, wanted=config.sync_batch_norm)
    with generator_restored(), synced, compiled(model, device, wanted=config.compile):
        yield ChangedBuffers(model, ranks)


def _begun(
    model: nn.Module, dataset: Dataset, config: TrainConfig, context: int, *, device: str, **on: Any
) -> tuple[TrainConfig, TrainState, Callable[..., Tensor]]:
    """Return what the run goes by, the state before the first step, and `train_step` as this run takes it."""
    config = config.replace({"compile": config.compile and not uncompilable(model)})
    precision = resolve(config.precision, device)
    _require_validation(config, dataset)
    freeze(model, config.freeze)
    begun = TrainState.begin(model.to(device), config, precision=precision, device=device, context=context)
    return config, begun, partial(train_step, precision=precision, device=device, **on)


def train_step(
    state: TrainState,
    task: Task,
    batch: Batch,
    config: TrainConfig,
    lr: float,
    *,
    precision: Precision,
    device: str,
    ranks: Ranks = ALONE,
    readings: Readings | None = None,
    buffers: ChangedBuffers | None = None,
) -> Tensor:
    """Run one batch forward and backward; update the weights if it completes an optimizer step.

    Returns the whole batch's loss, excluding the model's own penalty, as a tensor of no dimensions.

    Args:
        readings: by default, what is looked at is read at once.
        buffers: those of the model, if several processes train it.

    Raises:
        Diverged: the loss, a gradient or a weight is not finite. It may be `readings.read` that raises it.
    """
    readings = readings or Readings()
    ranks.copies = ranks.world_size if batch.share in (0, 1) else 1
    with GLOBAL_GENERATOR, autocast(precision, device), _recurrent(task, config, device):
        _seed(batch.seed, device)
        if config.compile:
            begin_compiled_step()
        step = task.step(state.model, batch, state.carried, config=config)
    step = kept(step) if config.compile else step
    first = batch.index - batch.index % config.grad_accum_steps
    # Weighted so that the gradients of all processes add up to that of the whole batch
    part = step.loss if ranks.world_size == 1 else step.loss * batch.share
    state.scaler.scale(part / min(config.grad_accum_steps, batch.total - first)).backward()
    step, loss, penalty = of_all(step, batch.share, ranks)  # only now: processes wait for each other once
    readings.then(loss, partial(_require_finite_loss, config, lr, _where(state, batch)))
    state.account(step)
    if completes_step(batch, config):
        ranks.all_reduce_gradients(state.model.parameters())
        if buffers:
            buffers.even_out()
        state.update(config, lr, readings)
    elif config.compile:
        keep_gradients(state.model)
    return loss - penalty


def _recurrent(task: Task, config: TrainConfig, device: str) -> AbstractContextManager[object]:
    """Return the context for recurrent layers on a GPU, unless torch.compile would trace it."""
    wanted = isinstance(task, CarriesState) and torch.device(device).type == "cuda" and not config.compile
    return Trainable() if wanted else nullcontext()


def _require_finite_loss(config: TrainConfig, lr: float, where: str, loss: float) -> None:
    if not math.isfinite(loss):
        raise diverged(f"the loss is {loss} at a learning rate of {lr:.3g}", config, where)


def _tell(
    batch: Batch,
    lr: float,
    steps: int | None,
    clock: Clock,
    store: Store,
    report: Callable[[Progress], None],
    loss: float,
) -> None:
    """Report a batch, and log the optimizer step that it completed, if it did: the `steps`-th."""
    report(clock.tick(batch, loss, lr))
    if steps is not None and (row := clock.step_row(steps)):
        store.log(row)


def _where(state: TrainState, batch: Batch) -> str:
    return f"epoch {state.epoch + 1}, batch {batch.index + 1}"


def _require_possible(task: Task, batches: Callable[..., Iterator[Batch]], saved: SavedState) -> None:
    """Raise WeightsError if this data has no such batch, or this task has other metrics."""
    try:
        check_rows(saved.history, task.spec.headline)
    except ValueError as error:
        raise WeightsError(f"its history is wrong: {error}") from None
    at = saved.position
    if at.batch and next(batches(epoch=at.epoch, start=at.batch - 1), None) is None:
        raise WeightsError(f"it was saved after batch {at.batch:,} of an epoch that has fewer batches")


def _restore(
    state: TrainState, task: Task, batches: Callable[..., Iterator[Batch]], store: Store, device: str
) -> None:
    """Restore the last save, if there is one, and save the best weights if it stopped right before that.

    A hidden state is nested as the one that the model returns for the batch before, which no file says.
    Raises RunError if that has other parts.
    """
    store.restore(state, device=device, check=partial(_require_possible, task, batches))
    if leaves := leaves_of(state.carried):
        batch = replace(next(batches(epoch=state.epoch, start=state.batch - 1)), fresh=True)
        with GLOBAL_GENERATOR, torch.no_grad(), evaluating(state.model), misfit_as_error(state.untried):
            like = task.step(state.model, batch).state
        state.carried = nested(leaves, like)
    _keep_if_best(state, task, store)


def completes_step(batch: Batch, config: TrainConfig) -> bool:
    """Return whether a batch completes an optimizer step."""
    number = batch.index + 1
    return number % config.grad_accum_steps == 0 or number == batch.total


def _is_done(state: TrainState, task: Task, config: TrainConfig) -> bool:
    return state.epoch >= config.epochs or out_of_patience(state.history, task, config.patience)


def _require_validation(config: TrainConfig, dataset: Dataset) -> None:
    for name in ("nonmono", "patience"):
        if getattr(config, name) and not len(dataset.split("val")):
            hint = "give it one, for example with --data val_size=... or val_share=..."
            raise OptionError(f"{name} requires a val split, which this data does not have", hint=hint)


def _seed(seed: int, device: str) -> None:
    """Seed the generators that a model may draw from; torch.manual_seed would take half a millisecond."""
    torch.default_generator.manual_seed(seed)
    kind, _, number = device.partition(":")
    if kind == "cuda":
        place = int(number) if number else torch.cuda.current_device()
        torch.cuda.default_generators[place].manual_seed(seed)
    elif kind != "cpu":
        torch.manual_seed(seed)


def _pause(
    state: TrainState,
    store: Store,
    stop: Callable[[], int],
    save: Callable[[], None],
    *,
    within: bool = False,
) -> None:
    """Save and raise Interrupted if `stop` returns a signal number; within an epoch, save when it is due."""
    if signal := stop():
        save()
        raise interrupted(signal, state.where, state.steps, store.path)
    if within and store.due(state):
        save()


def _end_epoch(
    state: TrainState, row: dict[str, Any], task: Task, config: TrainConfig, store: Store
) -> int | None:
    """Record an epoch and save the run. Return the best epoch so far; None without validation."""
    state.end_epoch(row, config)
    store.save(state)
    _keep_if_best(state, task, store)
    return best_epoch(state.history, task)


def _keep_if_best(state: TrainState, task: Task, store: Store) -> None:
    """Keep the weights of an epoch that has just ended, if it is the best so far."""
    if state.batch == 0 and best_epoch(state.history, task) == state.epoch:
        store.keep_best(state)


def _save(state: TrainState, config: TrainConfig, store: Store, readings: Readings) -> None:
    """Save a run. Raises Diverged if anything it computed or its weights are not finite."""
    readings.read()
    require_finite(state.model, config, state.where, infinite=state.infinite)
    store.save(state)


def _evaluate_epoch(
    state: TrainState,
    task: Task,
    dataset: Dataset,
    config: TrainConfig,
    clock: Clock,
    report: Callable[[Progress], None],
    *,
    pause: Callable[[], None],
    device: str,
    ranks: Ranks,
) -> dict[str, Any]:
    """Evaluate after the last batch of an epoch, and return its row."""
    require_finite(state.model, config, state.where, infinite=state.infinite)
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "train": metrics_of(task, state.sums, state.count, dataset.preprocess),
        "clock": clock.read(),
    }
    last = state.epoch + 1 == config.epochs
    split: Split | None = "val" if len(dataset.split("val")) else "test" if last else None
    if split is None or not len(dataset.split(split)):
        return row

    def evaluated(done: int, total: int) -> None:
        if ranks.world_size == 1:  # several have different numbers of batches
            pause()
        report(clock.evaluating(split, done, total))

    on: Any = {"context": state.context, "device": device, "report": evaluated}
    plain = uncompiled() if config.compile else nullcontext()
    with out_of_memory_as_error(config, state.where), plain:
        if ranks.world_size > 1:
            measured = measure_together(state.best, task, dataset, split, ranks=ranks, **on)
        else:
            measured = measure(state.best, task, dataset, split, trusted=True, **on)
    if ranks.world_size > 1:
        pause()
    row[split] = measured.metrics
    for name, value in row[split].items():
        if not math.isfinite(value):
            raise diverged(f"the {split} {name} is {value}", config, state.where)
    return row
