"""The training loop, once, for every model: it knows neither tasks nor architectures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.errors import DataError, Diverged, Interrupted, OptionError, RunError
from zoo.interfaces import Batch, Dataset, Split, Task
from zoo.models.hooks import evaluating
from zoo.models.precision import Precision, autocast, resolve
from zoo.registry.specs import Recipe
from zoo.training.freezing import freeze, train_mode
from zoo.training.judging import best_epoch, exhausted
from zoo.training.schedules import learning_rate
from zoo.training.state import TrainState

__all__ = ["Clock", "Measured", "Progress", "Store", "evaluate", "fit", "measure", "train_step"]


class Store(Protocol):
    """Where a run is kept, such as a run directory."""

    def restore(self, state: TrainState, *, device: str) -> None:
        """Bring `state` to where the run was, if there was one."""
        ...

    def due(self, state: TrainState) -> bool:
        """Say, after a step, whether it is time to keep the run before its epoch is over."""
        ...

    def save(self, state: TrainState) -> None:
        """Keep the run as it is now."""
        ...

    def keep_best(self, state: TrainState) -> None:
        """Keep the weights as they are now, the best so far by validation."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each step, and with `row` after each epoch."""

    epoch: int
    """From 1."""
    epochs: int
    batch: int
    batches: int
    loss: float
    lr: float
    rate: float
    """Items (images or characters) per second over this epoch so far, evaluation apart."""
    left: float
    """Seconds of training still to come, guessed from the pace so far."""
    row: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What an evaluation found."""

    metrics: dict[str, float]
    details: dict[str, Any]
    """Such as each class's accuracy, as JSON data."""
    count: int
    """Items it is over."""


def fit(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    store: Store | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], int] = lambda: 0,
) -> TrainState:
    """Train `model` in place as `recipe` says; return the final state, its `history` one row an epoch.

    After each epoch the `val` split is evaluated, or, where there is none, the `test` split after the last.
    What the recipe freezes stays without a gradient afterwards.

    Args:
        store: takes a checkpoint after each epoch, when one is due and when stopped, and is where a run
            resumes from.
        report: told of progress.
        stop: asked after each optimizer step, and after each batch of an evaluation; at a signal's number the
            run is saved and left.

    Raises:
        OptionError: the recipe asks for what this device or data cannot give.
        Diverged: a loss, a gradient, a weight or a metric is not finite. The last checkpoint stays as it is.
        RunError: memory was not enough. The last checkpoint stays as it is.
        Interrupted: `stop` said so.
    """
    precision = resolve(recipe.precision, device)
    for name in ("average_patience", "patience"):
        if getattr(recipe, name) and not len(dataset.split("val")):
            raise OptionError(
                f"{name} watches the validation, and this data has no val split",
                hint="give it one, such as with --data val_size=... or val_share=...",
            )
    freeze(model, recipe.freeze)
    state = TrainState.begin(model.to(device), recipe, precision=precision, device=device)
    if store is not None:
        store.restore(state, device=device)
        if state.batch == 0 and best_epoch(state.history, task) == state.epoch:  # killed before it was kept
            store.keep_best(state)

    def pause() -> None:
        if number := stop():
            raise _interrupted(state, recipe, store, number)

    with torch.random.fork_rng(range(torch.cuda.device_count())):  # the caller's random state stays
        while state.epoch < recipe.epochs and not exhausted(state.history, task, recipe.patience):
            clock = Clock(state.epoch + 1, recipe.epochs)
            train_mode(model, recipe.freeze)
            for batch in task.train_batches(
                dataset, recipe, seed=seed, epoch=state.epoch, start=state.batch, device=device
            ):
                lr = learning_rate(recipe, state.epoch + (batch.index + 0.5) / batch.total)
                with _memory_told(state, recipe):
                    loss = train_step(state, task, batch, recipe, lr, precision=precision, device=device)
                report(clock.tick(batch, loss, lr))
                if state.batch % recipe.accumulate == 0 or state.batch == batch.total:
                    pause()
                    if store is not None and state.batch < batch.total and store.due(state):
                        _require_finite(state, recipe)
                        store.save(state)
            _require_finite(state, recipe)
            with _memory_told(state, recipe):
                row = _epoch_row(state, task, dataset, recipe, device=device, pause=pause)
            state.end_epoch(row | {"clock": clock.read()}, recipe)
            if store is not None:
                store.save(state)
                if best_epoch(state.history, task) == state.epoch:
                    store.keep_best(state)
            report(clock.end(row))
            done = state.epoch == recipe.epochs or exhausted(state.history, task, recipe.patience)
            if not done and stop():
                raise _interrupted(state, recipe, None, stop())
    return state


def train_step(
    state: TrainState,
    task: Task,
    batch: Batch,
    recipe: Recipe,
    lr: float,
    *,
    precision: Precision,
    device: str,
) -> float:
    """Run one batch forward and back; step the optimizer where it completes a group of gradients.

    Returns the batch's loss, without what a model punishes itself for.
    """
    _seed(batch.seed, device)
    with autocast(precision, device):
        step = task.step(state.model, batch, state.carried, label_smoothing=recipe.label_smoothing)
    differentiated = float(step.loss.detach())
    if not math.isfinite(differentiated):
        told = f"the loss is {differentiated} at a learning rate of {lr:.3g}"
        raise _diverged(state, recipe, told, batch=batch.index + 1)
    first = batch.index - batch.index % recipe.accumulate
    state.scaler.scale(step.loss / min(recipe.accumulate, batch.total - first)).backward()
    state.account(step)
    if state.batch % recipe.accumulate == 0 or state.batch == batch.total:
        wrong = state.update(recipe, lr)
        if wrong:
            raise _diverged(
                state, recipe, f"{wrong} is not finite at a learning rate of {lr:.3g}", batch=batch.index + 1
            )
    return differentiated - float(step.penalty)


def evaluate(
    model: nn.Module, task: Task, dataset: Dataset, split: Split, *, device: str = "cpu"
) -> dict[str, float]:
    """Return a split's metrics, every item counted once, in fp32 whatever the model was trained in.

    Raises DataError if the split is empty.
    """
    return measure(model, task, dataset, split, device=device).metrics


@torch.inference_mode()
def measure(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    *,
    device: str = "cpu",
    pause: Callable[[], None] = lambda: None,
) -> Measured:
    """Do what `evaluate` does, and return all that comes of it.

    `pause` is called after each batch, and may raise.
    """
    sums: dict[str, Tensor] = {}
    count, carried = 0, None
    with evaluating(model):
        for batch in task.eval_batches(dataset, split, device=device):
            step = task.step(model, batch, carried)
            carried = step.state
            count += step.count
            for name, value in step.sums.items():
                sums[name] = sums[name] + value.double() if name in sums else value.double()
            pause()
    if count == 0:
        others = [name for name in ("train", "val", "test") if name != split and len(dataset.split(name))]
        hint = f"there is data in {' and '.join(others)}: --split {others[-1]}" if others else None
        raise DataError(f"the {split} split is empty", hint=hint)
    totals = {name: float(value) for name, value in sums.items() if value.ndim == 0}
    return Measured(
        task.metrics(totals, count, dataset.preprocess), task.details(sums, dataset.preprocess), count
    )


def _seed(seed: int, device: str) -> None:
    if torch.device(device).type == "cpu":  # torch.manual_seed would take half a millisecond on other devices
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _epoch_row(
    state: TrainState,
    task: Task,
    dataset: Dataset,
    recipe: Recipe,
    *,
    device: str,
    pause: Callable[[], None],
) -> dict[str, Any]:
    sums = {name: float(value) for name, value in state.sums.items() if value.ndim == 0}
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "train": task.metrics(sums, state.count, dataset.preprocess),
    }
    if len(dataset.split("val")):
        row["val"] = measure(state.best, task, dataset, "val", device=device, pause=pause).metrics
    elif state.epoch + 1 == recipe.epochs and len(dataset.split("test")):
        row["test"] = measure(state.best, task, dataset, "test", device=device, pause=pause).metrics
    for split in ("val", "test"):
        for name, value in row.get(split, {}).items():
            if not math.isfinite(value):
                raise _diverged(state, recipe, f"the {split} {name} is {value}")
    return row


def _require_finite(state: TrainState, recipe: Recipe) -> None:
    for name, tensor in state.model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise _diverged(state, recipe, f"{name} has values that are not finite")


def _diverged(state: TrainState, recipe: Recipe, what: str, *, batch: int | None = None) -> Diverged:
    where = f"epoch {state.epoch + 1}, batch {state.batch if batch is None else batch}"
    clipping = "" if recipe.clip_norm else ", or --train clip_norm=1"
    return Diverged(
        f"training diverged in {where}: {what}", hint=f"try a --train lr=... below {recipe.lr:g}{clipping}"
    )


@contextmanager
def _memory_told(state: TrainState, recipe: Recipe) -> Generator[None]:
    """Say of memory that is not enough where it was, and which batch size to try."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).split("\n")[0]
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "alloc" not in told:
            raise
        half = max(recipe.batch_size // 2, 1)
        same = f" --train accumulate={2 * recipe.accumulate}" if half < recipe.batch_size else ""
        raise RunError(
            f"memory was not enough in epoch {state.epoch + 1}, batch {state.batch + 1}, at "
            f"batch_size={recipe.batch_size} ({told or 'out of memory'})",
            hint=f"--train batch_size={half}{same} takes half; --resume --accept-changes goes on with it",
        ) from error


def _interrupted(state: TrainState, recipe: Recipe, store: Store | None, number: int) -> Interrupted:
    if store is not None:
        _require_finite(state, recipe)
        store.save(state)
    where = f"epoch {state.epoch + 1}, batch {state.batch}"
    return Interrupted(
        f"stopped and saved in {where}", signal=number, hint="the same command with --resume goes on"
    )


class Clock:
    """Pace over one epoch, evaluation apart."""

    def __init__(self, epoch: int, epochs: int) -> None:
        self._epoch, self._epochs = epoch, epochs
        self._start = self._now = time.perf_counter()
        self._items = self._batches = 0
        self._last: Progress | None = None

    def tick(self, batch: Batch, loss: float, lr: float) -> Progress:
        """Note that a batch is done."""
        self._now = time.perf_counter()
        self._items += batch.count
        self._batches += 1
        to_come = batch.total - batch.index - 1 + (self._epochs - self._epoch) * batch.total
        left = (self._now - self._start) / self._batches * to_come
        done = batch.index + 1
        self._last = Progress(self._epoch, self._epochs, done, batch.total, loss, lr, self._rate(), left)
        return self._last

    def end(self, row: dict[str, Any]) -> Progress:
        """Note that the epoch is done and evaluated."""
        row = row | {"clock": self.read()}
        if self._last is None:  # stopped after its last batch, and now only evaluated
            return Progress(self._epoch, self._epochs, 0, 0, row["train"]["loss"], 0.0, 0.0, 0.0, row)
        return replace(self._last, row=row)

    def read(self) -> dict[str, float]:
        """Return seconds and items per second."""
        return {"seconds": round(self._now - self._start, 3), "rate": round(self._rate(), 1)}

    def _rate(self) -> float:
        return self._items / max(self._now - self._start, 1e-9)
