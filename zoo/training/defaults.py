"""Defaults of training options that neither the user nor the recipe sets.

Training from scratch uses the architecture's training configuration, with batches small enough for the data.
Fine-tuning uses the configuration that the weights were trained with, at a lower learning rate and, if there
is little data, for more epochs. The rate is lowered further if the weights already predict the data well,
because a high rate would make the model forget features learned from more data. If the last layer is new and,
fitted to their features, predicts the data very well, only this layer is trained. Options that the user or
the recipe sets always take precedence. The defaults depend only on these options, the weights and the data,
so a run can be resumed with the same command.

Sources: Goyal et al. 2017, arXiv 1706.02677, for scaling the learning rate to a different batch size with
SGD; Malladi et al. 2022, arXiv 2205.10287, with Adam; Li et al. 2020, arXiv 2002.11770, for fine-tuning with
lower rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zoo.config.layers import Layers, blaming
from zoo.config.options import text
from zoo.config.train_config import TrainConfig
from zoo.errors import DataError, OptionError
from zoo.interfaces import CarriesState, Dataset, Task
from zoo.models.hooks import evaluating
from zoo.models.transfer import Copied
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec

# With fewer steps in an epoch, momentum and the running averages of BatchNorm lag behind the weights
FEWEST_STEPS = 10
# Smaller batches make the statistics of BatchNorm too noisy
SMALLEST_BATCH = 8

# Fine-tuning: the learning rate as a fraction of that of the weights. Where the weights already predict the
# data, with a loss below CLOSE times the random baseline's, the rate falls with the square of their loss, but
# not below LEAST_SHARE of it
LR_SHARE = 0.4
CLOSE = 0.5
LEAST_SHARE = 0.025
# With a fitted last layer, it falls below CLOSE_PROBED times the baseline's. If no more than HEAD_ALONE of
# this is left, the last layer is trained alone: training the other layers would not help
CLOSE_PROBED = 0.25
HEAD_ALONE = 0.5
# The steps of an epoch, and those of the whole training, in at least and at most so many epochs
EPOCH_STEPS = 20
TOTAL_STEPS = 600
EPOCHS = (3, 30)

# Returns the optimizer steps in an epoch, with some options changed
Steps = Callable[[Mapping[str, Any]], int]


def suited_to_data(
    layers: Layers,
    config: TrainConfig,
    task: Task,
    dataset: Dataset,
    *,
    context: int,
    architecture: Entry[ArchitectureSpec],
    to_learn: float | None,
    again: bool,
    alone: bool,
) -> dict[str, Any]:
    """Return training options that suit the data and the model, for those that nobody sets.

    Args:
        config: the training configuration of `layers`.
        context: the number of tokens that the model can read at once; 0 for no limit.
        to_learn: how badly the weights that fine-tuning starts from predict the data; see `left_to_learn`.
            None for random weights.
        again: whether these weights were themselves fine-tuned, so that their learning rate is already low.
        alone: whether only a last layer is trained that is fitted already.

    Raises OptionError if the recipe's batches are longer than the model's context.
    """
    within = task.within(config, context) if context else {}
    _refuse_beyond(layers, within, architecture, context)

    def steps(changes: Mapping[str, Any]) -> int:
        changed = {name: value for name, value in {**within, **changes}.items() if layers[name] != value}
        try:
            return steps_in_epoch(task, dataset, config.replace(changed) if changed else config)
        except DataError:  # a text too short for so many lanes
            return 0

    if to_learn is None:
        return within | from_scratch(layers, steps)
    return within | fine_tuning(layers, steps, to_learn, again=again, alone=alone)


def _refuse_beyond(
    layers: Layers, needed: Mapping[str, Any], architecture: Entry[ArchitectureSpec], context: int
) -> None:
    """Raise OptionError for an option that makes batches longer than the model can read at once."""
    for name, value in needed.items():
        given, source = layers.merged[name]
        if layers.gives(name) and given != value:
            option, flag = architecture.spec.context_length, name.replace("_", "-")
            bound = f"{context:,} tokens that {architecture.name} can read at once"
            bound += f" ({option}={context})" if isinstance(option, str) else ""
            hint = f"try --no-{flag}" if value is False else f"try --{flag} {text(value)}"
            with blaming(source):
                raise OptionError(f"{name}={text(given)} makes batches longer than the {bound}", hint=hint)


def left_to_learn(
    model: nn.Module, task: Task, dataset: Dataset, copied: Copied, probed: float | None
) -> float:
    """Return how badly the weights that fine-tuning starts from predict the data, from 0 to 1.

    This is a loss as a fraction of the loss that counts as bad: the loss of a fitted last layer on held-out
    items, as a fraction of a quarter of the random baseline's, or, without such a layer, the loss on a batch
    of training data, as a fraction of half the baseline's. Items of classes that are new to the weights are
    left out of the batch; at least half of the classes must be known. The result is always 1 for language
    models.

    Args:
        probed: the loss of a last layer that was fitted; see `fit_last_layer`.
    """
    close = CLOSE if probed is None else CLOSE_PROBED
    bad = close * task.baseline(dataset.preprocess).get("loss", 0.0)
    loss = probed if probed is not None else _loss_of_known(model, task, dataset, copied)
    return min(1.0, loss / bad) if bad and loss is not None else 1.0


def _loss_of_known(model: nn.Module, task: Task, dataset: Dataset, copied: Copied) -> float | None:
    known = torch.tensor(copied.labels)
    if isinstance(task, CarriesState) or (copied.fresh and 2 * known.sum() < max(1, len(known))):
        return None
    few = TrainConfig(batch_size=128)  # not augmented
    batch = next(task.train_batches(dataset, few, seed=0, epoch=0), None)
    if batch is not None and not known.all():
        if batch.targets.ndim > 1:  # several labels an item
            return None
        there = known[batch.targets]
        batch = replace(batch, inputs=batch.inputs[there], targets=batch.targets[there])
    if batch is None or not batch.count:
        return None
    with torch.inference_mode(), evaluating(model):
        step = task.step(model, batch)
    return float(step.sums["loss"]) / step.count


def steps_in_epoch(task: Task, dataset: Dataset, config: TrainConfig) -> int:
    """Return the number of optimizer steps in an epoch. Raises DataError for incompatible data."""
    first = next(task.train_batches(dataset, config, seed=0, epoch=0), None)
    return math.ceil(first.total / config.grad_accum_steps) if first else 0


def from_scratch(layers: Layers, steps: Steps) -> dict[str, Any]:
    """Return the batch size and the learning rate for training from random weights, where they differ."""
    usual = layers.suggestions
    chosen = _enough_steps(layers, steps, FEWEST_STEPS)
    per_step = chosen.get("batch_size", layers["batch_size"]) * layers["grad_accum_steps"]
    share = min(1.0, per_step / (usual["batch_size"] * usual["grad_accum_steps"]))
    lr = _scaled(usual["lr"], share if layers["optimizer"] == "sgd" else math.sqrt(share))
    return chosen | ({"lr": lr} if lr != usual["lr"] else {})


def fine_tuning(
    layers: Layers, steps: Steps, to_learn: float, *, again: bool, alone: bool = False
) -> dict[str, Any]:
    """Return the learning rate, the batch size and the epochs for fine-tuning weights.

    Args:
        layers: training options, whose suggestions include those of the weights.
        to_learn: how badly the weights predict the data; see `left_to_learn`.
        again: whether the weights were themselves fine-tuned, so that their learning rate is already low.
        alone: whether only a last layer is trained that is fitted already, which takes the fewest epochs.
    """
    lowered = LEAST_SHARE if alone else max(to_learn**2, LEAST_SHARE)
    share = (1.0 if again else LR_SHARE) * float(f"{lowered:.1g}")
    chosen = {"lr": _scaled(layers.suggestions["lr"], share), **_enough_steps(layers, steps, EPOCH_STEPS)}
    epochs = math.ceil(TOTAL_STEPS / max(1, steps(chosen)))
    return chosen | {"epochs": EPOCHS[0] if alone else min(max(epochs, EPOCHS[0]), EPOCHS[1])}


def _enough_steps(layers: Layers, steps: Steps, enough: int) -> dict[str, Any]:
    """Halve the batch size until an epoch has enough steps, unless it is given; return it if it changes."""
    size, least = layers["batch_size"], SMALLEST_BATCH
    if layers.gives("batch_size"):
        return {}
    while size > least and steps({"batch_size": size}) < enough:
        size = max(least, size // 2)
    return {"batch_size": size} if size != layers["batch_size"] else {}


def _scaled(lr: float, share: float) -> float:
    return lr if share == 1 else float(f"{lr * share:.3g}")
