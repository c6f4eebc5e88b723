"""The training loop for all models, independent of tasks and architectures.

`examples/loop.py` is the same loop without saving, evaluating and reporting: it ends with the same weights.

On a GPU, steps do not wait for their results: progress reports, log rows and checks for values that are not
finite are delayed by up to a tenth of a second. Values are always checked before they are saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from zoo.config.train_config import TrainConfig
from zoo.distributed.buffers import ChangedBuffers
from zoo.distributed.sharding import lane_dims, measure_sharded
from zoo.distributed.synced_norm import synced_norms
from zoo.errors import OptionError, RunError
from zoo.evaluation.measure import measure, metrics_of
from zoo.interfaces import Batch, Dataset, Split, Task
from zoo.models.building import generator_restored
from zoo.models.hooks import evaluating, uncompiled
from zoo.models.precision import resolve
from zoo.seeds import GLOBAL_GENERATOR
from zoo.training.best_epoch import best_epoch, is_finished
from zoo.training.clock import Clock
from zoo.training.failures import (
    diverged,
    interrupted,
    misfit_as_error,
    out_of_memory_as_error,
    require_finite,
)
from zoo.training.freezing import freeze, set_frozen, train_mode
from zoo.training.host import Host
from zoo.training.readings import Readings
from zoo.training.saved import check_rows
from zoo.training.saved_hidden_state import leaves_of, nested
from zoo.training.schedules import make_schedule
from zoo.training.shared_store import shared
from zoo.training.state import TrainState
from zoo.training.step import completes_step, place_of, train_step
from zoo.training.torch_compile import compiled, uncompilable


def fit(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    config: TrainConfig,
    *,
    context: int = 0,
    seed: int = 0,
    device: str = "cpu",
    measure_start: bool = False,
    host: Host = Host(),  # noqa: B008 - it has no state
) -> TrainState:
    """Train `model` in place; return the final state, whose `history` has one row per epoch.

    The `val` split is evaluated after each epoch. Without a `val` split, the `test` split is evaluated after
    the last epoch. Frozen parameters stay frozen after training.

    Args:
        context: as in `measure`; unless it is 0, each batch starts from an empty state.
        measure_start: whether the `val` split is also evaluated before training, as epoch 0.
        host: saves, reports and stops training, and connects its processes; by default, it does nothing.

    Raises:
        OptionError: this device or this data does not support an option.
        Diverged: a loss, a gradient, a weight or a metric is not finite. The last save is kept.
        RunError: out of memory. The last save is kept.
        Interrupted: `host.stop` returned a signal number.
    """
    if config.compile and uncompilable(model):
        config = config.replace({"compile": False})
    precision = resolve(config.precision, device)
    _require_validation(config, dataset)
    frozen = freeze(model, config.freeze)
    set_frozen(frozen, not config.freeze_epochs)  # the optimizer has all that is trained in any epoch
    state = TrainState.begin(model.to(device), config, precision=precision, device=device, context=context)
    ranks = host.ranks
    dims = lane_dims(model, task, device=device, ranks=ranks)
    host = shared(host, dims=dims, lanes=config.batch_size)
    shard = {"rank": ranks.rank, "world_size": ranks.world_size}
    batches = partial(task.train_batches, dataset, config, seed=seed, device=device, **shard)
    readings = Readings(at_once=torch.device(device).type == "cpu")
    training = _Training(task, dataset, config, state, batches, host, readings, frozen)
    training.restore()
    synced = synced_norms(model, ranks, wanted=config.sync_batch_norm)
    with generator_restored(), synced, compiled(model, device, wanted=config.compile):
        if measure_start and not (state.steps or state.history) and len(dataset.split("val")):
            training.measure_start()
        training.run()
    return state


@dataclass(frozen=True, slots=True)
class _Training:
    """A training run: the arguments of `fit`, and the state that training changes."""

    task: Task
    dataset: Dataset
    config: TrainConfig
    state: TrainState
    batches: Callable[..., Iterator[Batch]]
    host: Host
    readings: Readings
    frozen: Sequence[nn.Parameter]

    def run(self) -> None:
        """Train until the last epoch is finished or early stopping applies."""
        state, config = self.state, self.config
        buffers = ChangedBuffers(state.model, self.host.ranks)
        unit = self.task.processor.unit(self.dataset.preprocess)
        learning_rate = make_schedule(config)
        clock = None
        while not self.is_done:
            clock = Clock(
                state.epoch + 1, config, self.task.spec, unit=unit, before=clock, spent=state.seconds
            )
            self.begin_epoch()
            for batch in self.batches(epoch=state.epoch, start=state.batch):
                lr = learning_rate(state.epoch + (batch.index + 0.5) / batch.total, state.history)
                with misfit_as_error(state.untried), out_of_memory_as_error(config, place_of(state, batch)):
                    loss = train_step(
                        state,
                        self.task,
                        batch,
                        config,
                        lr,
                        ranks=self.host.ranks,
                        readings=self.readings,
                        buffers=buffers,
                    )
                steps = state.steps if completes_step(batch, config) else None
                self.readings.then(loss, partial(self.tell, clock, batch, lr, steps))
                self.readings.read_if_due()
                if steps is not None:
                    self.pause()
                    if state.batch < batch.total and self.host.store.due(state):
                        self.save()
            self.readings.read()
            row = self.evaluate(clock)
            state.end_epoch(row, config)
            self.host.store.save(state)
            self.keep_if_best()
            self.host.report(clock.end(row, best_epoch(state.history, self.task)))
            if not self.is_done and (signal := self.host.stop()):
                raise interrupted(signal, state.where, state.steps, self.host.store.path)

    def begin_epoch(self) -> None:
        """Switch to training mode, and freeze parts of the model, in all epochs or in the first ones."""
        config = self.config
        freezing = not config.freeze_epochs or self.state.epoch < config.freeze_epochs
        set_frozen(self.frozen, freezing)
        train_mode(self.state.model, config.freeze if freezing else ())

    def measure_start(self) -> None:
        """Evaluate the weights that training starts from, and keep them as the best so far."""
        state = self.state
        clock = Clock(0, self.config, self.task.spec, unit=self.task.processor.unit(self.dataset.preprocess))
        row = {"epoch": 0, "steps": 0, "clock": clock.read(), "val": self.measured("val", clock)}
        state.history.append(row)
        self.host.store.save(state)
        self.keep_if_best()
        self.host.report(clock.end(row, best=0))

    @property
    def is_done(self) -> bool:
        """Whether training has finished, or stops here."""
        stops = self.state.epoch >= self.host.stop_after
        return stops or is_finished(self.state.history, self.task, self.config)

    def restore(self) -> None:
        """Restore the last save, if there is one; save the best weights if they were not saved yet.

        The hidden state is nested like the state that the model returns for the previous batch. Raises
        RunError if that state has a different number of parts.
        """
        state = self.state
        self.host.store.restore(state, device=state.device)
        self.require_possible()
        if leaves := leaves_of(state.carried):
            batch = replace(next(self.batches(epoch=state.epoch, start=state.batch - 1)), fresh=True)
            with GLOBAL_GENERATOR, torch.no_grad(), evaluating(state.model), misfit_as_error(state.untried):
                like = self.task.step(state.model, batch).state
            state.carried = nested(leaves, like)
        self.keep_if_best()

    def require_possible(self) -> None:
        """Raise RunError if the restored state lacks a required metric or is beyond the end of the epoch."""
        state = self.state
        hint = "choose a different --run folder to start over"
        try:
            check_rows(state.history, self.task.spec.primary_metric)
        except ValueError as error:
            raise RunError(f"the history of the run is invalid: {error}", hint=hint) from None
        if state.batch and next(self.batches(epoch=state.epoch, start=state.batch - 1), None) is None:
            message = f"the run was saved after batch {state.batch:,}, but an epoch now has fewer batches"
            raise RunError(message, hint=hint)

    def tell(self, clock: Clock, batch: Batch, lr: float, steps: int | None, loss: float) -> None:
        """Time and report a batch, and log the optimizer step that it completed; `steps` is its number."""
        progress = clock.tick(batch, loss, lr)
        self.state.seconds = clock.seconds
        self.host.report(progress)
        if steps is not None and (row := clock.step_row(steps)):
            self.host.store.log(row)

    def pause(self) -> None:
        """Save and raise Interrupted if `stop` returns a signal number."""
        if signal := self.host.stop():
            self.save()
            raise interrupted(signal, self.state.where, self.state.steps, self.host.store.path)

    def save(self) -> None:
        """Save the run. Raises Diverged if a result or a weight is not finite."""
        self.readings.read()
        self.require_finite()
        self.state.take_average()
        self.host.store.save(self.state)

    def require_finite(self) -> None:
        """Raise Diverged if the weights are not finite."""
        require_finite(self.state.model, self.config, self.state.where, infinite=self.state.infinite)

    def keep_if_best(self) -> None:
        """Keep the weights of the latest epoch if it is the best so far."""
        state = self.state
        if state.batch == 0 and best_epoch(state.history, self.task) == state.epoch:
            self.host.store.keep_best(state)

    def evaluate(self, clock: Clock) -> dict[str, Any]:
        """Evaluate after the last batch of an epoch, and return the epoch's row."""
        state = self.state
        self.require_finite()
        state.take_average()
        row: dict[str, Any] = {
            "epoch": state.epoch + 1,
            "steps": state.steps,
            "train": metrics_of(self.task, state.sums, state.count, self.dataset.preprocess),
            "clock": clock.read(),
        }
        split: Split = "val"
        if state.epoch + 1 == self.config.epochs and not len(self.dataset.split("val")):
            split = "test"
        if not len(self.dataset.split(split)):
            return row
        row[split] = self.measured(split, clock)
        for name, value in row[split].items():
            if not math.isfinite(value):
                raise diverged(f"the {split} {name} is {value}", self.config, state.where)
        return row

    def measured(self, split: Split, clock: Clock) -> dict[str, float]:
        """Return the metrics of a split; save and stop between batches, unless nothing was trained yet."""
        state = self.state
        ranks = self.host.ranks
        several = ranks.world_size > 1

        def evaluated(done: int, total: int) -> None:
            if state.steps and not several:  # those have different numbers of batches
                self.pause()
            self.host.report(clock.evaluating(split, done, total))

        measuring = partial(measure_sharded, ranks=ranks) if several else partial(measure, trusted=True)
        plain = uncompiled() if self.config.compile else nullcontext()
        with out_of_memory_as_error(self.config, state.where), plain:
            found = measuring(
                state.best,
                self.task,
                self.dataset,
                split,
                context=state.context,
                device=state.device,
                report=evaluated,
            )
        if state.steps and several:
            self.pause()
        return found.metrics


def _require_validation(config: TrainConfig, dataset: Dataset) -> None:
    for name in ("nonmono", "patience"):
        if getattr(config, name) and not len(dataset.split("val")):
            hint = "add a val split, for example with --data val_size=... or --data val_share=..."
            raise OptionError(f"{name} requires a val split, which this data does not have", hint=hint)
