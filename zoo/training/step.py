"""One step of training: forward, backward, clipping, and the optimizer step."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from zoo.config.train_config import TrainConfig
from zoo.distributed.buffers import ChangedBuffers
from zoo.distributed.ranks import ALONE, Ranks
from zoo.distributed.sharding import all_reduce_step
from zoo.interfaces import Batch, CarriesState, Task
from zoo.models.precision import autocast
from zoo.models.recurrent import Trainable
from zoo.seeds import GLOBAL_GENERATOR
from zoo.training.averaging import average_decay, move_average
from zoo.training.failures import diverged
from zoo.training.optimizers import SwitchesWeights
from zoo.training.readings import Readings
from zoo.training.state import TrainState
from zoo.training.torch_compile import begin_compiled_step, keep_gradients, kept


def train_step(
    state: TrainState,
    task: Task,
    batch: Batch,
    config: TrainConfig,
    lr: float,
    *,
    ranks: Ranks = ALONE,
    readings: Readings | None = None,
    buffers: ChangedBuffers | None = None,
) -> Tensor:
    """Run one batch forward and backward; update the weights if it completes an optimizer step.

    Returns the whole batch's loss, without the model's penalty, as a scalar tensor.

    Args:
        readings: defers reading values from the device; by default, they are read at once.
        buffers: buffers of the model, if several processes train it.

    Raises:
        Diverged: the loss, a gradient or a weight is not finite; `readings.read` may raise it later.
    """
    readings = readings or Readings()
    ranks.copies = ranks.world_size if batch.share in (0, 1) else 1
    device = state.device
    with GLOBAL_GENERATOR, autocast(state.precision, device), _recurrent(task, config, device):
        _seed(batch.seed, device)
        if config.compile:
            begin_compiled_step()
        step = task.step(state.model, batch, state.carried, config=config)
    step = kept(step) if config.compile else step
    first = batch.index - batch.index % config.grad_accum_steps
    # Weighted so that the gradients of all processes add up to that of the whole batch
    part = step.loss if ranks.world_size == 1 else step.loss * batch.share
    state.scaler.scale(part / min(config.grad_accum_steps, batch.total - first)).backward()
    # Only now, since processes wait for each other here
    step, loss, penalty = all_reduce_step(step, batch.share, ranks)
    readings.then(loss, partial(_require_finite_loss, config, lr, place_of(state, batch)))
    state.account(step)
    if completes_step(batch, config):
        ranks.all_reduce_gradients(state.model.parameters())
        if buffers:
            buffers.all_reduce()
        update_weights(state, config, lr, readings)
    elif config.compile:
        keep_gradients(state.model)
    return loss - penalty


def update_weights(state: TrainState, config: TrainConfig, lr: float, readings: Readings) -> None:
    """Take one optimizer step with the accumulated gradients, then update the average.

    In fp16, if a gradient overflows, the scaler leaves the weights unchanged; this still counts as a
    step.

    Args:
        readings: defers the checks for values that are not finite.

    Raises Diverged if a gradient or a weight is not finite.
    """
    parameters: list[Tensor] = []
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group["scale"]
        parameters += group["params"]
    state.scaler.unscale_(state.optimizer)
    if config.clip_grad_norm:
        norm = nn.utils.clip_grad_norm_(parameters, config.clip_grad_norm)
    else:
        norm = nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)
    if not state.scaler.is_enabled():
        readings.then(norm, partial(_require_finite, "a gradient", config, lr, state.where))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad()
    state.steps += 1
    if state.steps == 1:
        state.slots()  # a state that a checkpoint cannot hold is refused before an epoch is lost
    norm = nn.utils.get_total_norm(parameters)
    readings.then(norm, partial(_require_finite, "a weight", config, lr, state.where))
    if state.average is not None and not isinstance(state.optimizer, SwitchesWeights):
        decay = average_decay(config.ema_decay, state.steps, since=state.averaged_from)
        move_average(state.average, state.model, decay, infinite=state.infinite)


def completes_step(batch: Batch, config: TrainConfig) -> bool:
    """Return whether a batch completes an optimizer step."""
    number = batch.index + 1
    return number % config.grad_accum_steps == 0 or number == batch.total


def place_of(state: TrainState, batch: Batch) -> str:
    """Return the epoch and the number of a batch, both counted from 1, for messages."""
    return f"epoch {state.epoch + 1}, batch {batch.index + 1}"


def _recurrent(task: Task, config: TrainConfig, device: str) -> AbstractContextManager[object]:
    """Return the context for recurrent layers on a GPU, unless torch.compile would trace it."""
    wanted = isinstance(task, CarriesState) and torch.device(device).type == "cuda" and not config.compile
    return Trainable() if wanted else nullcontext()


def _require_finite_loss(config: TrainConfig, lr: float, where: str, loss: float) -> None:
    if not math.isfinite(loss):
        raise diverged(f"the loss is {loss} at a learning rate of {lr:.3g}", config, where)


def _require_finite(what: str, config: TrainConfig, lr: float, where: str, norm: float) -> None:
    if not math.isfinite(norm):
        raise diverged(f"{what} is not finite at a learning rate of {lr:.3g}", config, where)


def _seed(seed: int, device: str) -> None:
    """Seed the generators that a model may use; torch.manual_seed would take half a millisecond."""
    torch.default_generator.manual_seed(seed)
    kind, _, number = device.partition(":")
    if kind == "cuda":
        place = int(number) if number else torch.cuda.current_device()
        torch.cuda.default_generators[place].manual_seed(seed)
    elif kind != "cpu":
        torch.manual_seed(seed)
