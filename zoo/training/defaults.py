"""Defaults of training options that neither the user nor the recipe sets.

Training from scratch uses the architecture's training configuration, with batches small enough for the data.
Fine-tuning uses the configuration that the weights were trained with, at a lower learning rate and, if there
is little data, for more epochs. The rate is lowered further if the weights already predict the data well,
because a high rate would make the model forget features learned from more data. Options that the user or the
recipe sets always take precedence. The defaults depend only on these options, the weights and the data, so a
run can be resumed with the same command.

Sources: Goyal et al. 2017, arXiv 1706.02677, for scaling the learning rate to a different batch size with
SGD; Malladi et al. 2022, arXiv 2205.10287, with Adam; Li et al. 2020, arXiv 2002.11770, for fine-tuning with
lower rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zoo.config.options import text
from zoo.config.train_config import TrainConfig, merged
from zoo.errors import DataError, OptionError
from zoo.interfaces import CarriesState, Dataset, Task
from zoo.models.hooks import evaluating
from zoo.models.transfer import BaseModel, Copied
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
# The largest norm of the gradient, the steps of an epoch, and those of the whole training, in at least and at
# most so many epochs
CLIP_GRAD_NORM = 1.0
EPOCH_STEPS = 20
TOTAL_STEPS = 600
EPOCHS = (3, 30)
# Fields that suit the network, and so are those of the weights, as are those of groups that decide how data
# is cut. The others of groups suit the amount of data, such as augmentation, and are the architecture's own:
# the weights may have seen more of it
OF_OPTIMIZER = ("optimizer", "optimizer_options", "momentum", "weight_decay")
INHERITED = (*OF_OPTIMIZER, "decay_matrices_only", "norm_bias_lr_scale")

# Returns the optimizer steps in an epoch of a training configuration
Steps = Callable[[TrainConfig], int]


def suited_config(
    usual: TrainConfig,
    said: Mapping[str, Any],
    task: Task,
    dataset: Dataset,
    *,
    source: BaseModel | None,
    to_learn: float,
    architecture: Entry[ArchitectureSpec],
    arguments: Mapping[str, Any],
    cutting: Collection[str],
) -> TrainConfig:
    """Return the training configuration: the recipe's options, and defaults for the data and the model.

    Args:
        usual: the architecture's training configuration.
        said: the training options that the user or the recipe sets.
        source: the weights to start from; None for random weights.
        to_learn: how badly these weights predict the data; see `left_to_learn`.
        arguments: the arguments of the model.
        cutting: the group fields that determine how data is divided into batches.

    Raises OptionError if the recipe's batches are longer than the model's context.
    """
    context = architecture.spec.context(arguments)

    def steps(config: TrainConfig) -> int:
        try:
            return steps_in_epoch(task, dataset, config)
        except DataError:  # a text too short for so many lanes
            return 0

    def within(config: TrainConfig) -> TrainConfig:
        changes = task.within(config.replace(said), context) if context else {}
        _refuse_beyond(said, changes, architecture, context)
        return config.replace(changes)

    usual = within(usual)
    if source is None:
        return from_scratch(usual, said, steps)
    theirs = {name: value for name, value in source.card.training.items() if name in usual.to_dict()}
    if "optimizer" in said and theirs.get("optimizer") != usual.optimizer:  # `usual` has what suits it
        theirs = {name: theirs[name] for name in theirs if name not in (*OF_OPTIMIZER, "lr")}
    return fine_tuning(
        within(usual.replace(theirs)),
        usual,
        said,
        steps,
        again=bool(source.card.base_model),
        to_learn=to_learn,
        cutting=cutting,
    )


def _refuse_beyond(
    said: Mapping[str, Any], needed: Mapping[str, Any], architecture: Entry[ArchitectureSpec], context: int
) -> None:
    """Raise OptionError for an option that makes batches longer than the model can read at once."""
    for name, value in needed.items():
        if name in said and said[name] != value:
            option, flag = architecture.spec.context_length, name.replace("_", "-")
            bound = f"{context:,} tokens that {architecture.name} can read at once"
            bound += f" ({option}={context})" if isinstance(option, str) else ""
            hint = f"try --no-{flag}" if value is False else f"try --{flag} {text(value)}"
            raise OptionError(f"{name}={text(said[name])} makes batches longer than the {bound}", hint=hint)


def left_to_learn(model: nn.Module, task: Task, dataset: Dataset, copied: Copied) -> float:
    """Return how badly the weights that fine-tuning starts from predict the training data, from 0 to 1.

    This is the loss on a batch as a fraction of the loss that counts as bad, half of the random baseline's.
    Items of classes that are new to the weights are left out; at least half of the classes must be known.
    The result is always 1 for language models.
    """
    known = torch.tensor(copied.labels)
    if isinstance(task, CarriesState) or (copied.fresh and 2 * known.sum() < max(1, len(known))):
        return 1.0
    few = TrainConfig(batch_size=128)  # not augmented
    batch = next(task.train_batches(dataset, few, seed=0, epoch=0), None)
    if batch is not None and not known.all():
        if batch.targets.ndim > 1:  # several labels an item
            return 1.0
        there = known[batch.targets]
        batch = replace(batch, inputs=batch.inputs[there], targets=batch.targets[there])
    if batch is None or not batch.count:
        return 1.0
    with torch.inference_mode(), evaluating(model):
        step = task.step(model, batch)
    bad = CLOSE * task.baseline(dataset.preprocess).get("loss", 0.0)
    return min(1.0, float(step.sums["loss"]) / step.count / bad) if bad else 1.0


def steps_in_epoch(task: Task, dataset: Dataset, config: TrainConfig) -> int:
    """Return the number of optimizer steps in an epoch. Raises DataError for incompatible data."""
    first = next(task.train_batches(dataset, config, seed=0, epoch=0), None)
    return math.ceil(first.total / config.grad_accum_steps) if first else 0


def from_scratch(usual: TrainConfig, said: Mapping[str, Any], steps: Steps) -> TrainConfig:
    """Return the configuration for training from random weights.

    Args:
        usual: the architecture's training configuration.
        said: the training options that the user or the recipe sets.
    """
    config = _with_enough_steps(usual.replace(said), said, steps, FEWEST_STEPS)
    share = min(1.0, _per_step(config) / _per_step(usual))
    lr = _scaled(usual.lr, share if config.optimizer == "sgd" else math.sqrt(share))
    return config.replace({"lr": lr, **said})


def fine_tuning(
    theirs: TrainConfig,
    usual: TrainConfig,
    said: Mapping[str, Any],
    steps: Steps,
    *,
    again: bool,
    to_learn: float,
    cutting: Collection[str],
) -> TrainConfig:
    """Return the configuration for fine-tuning existing weights.

    Args:
        theirs: the configuration that the weights were trained with.
        usual: the architecture's training configuration.
        said: the training options that the user or the recipe sets.
        again: whether the weights were themselves fine-tuned, so that their learning rate is already low.
        to_learn: how badly the weights predict the data; see `left_to_learn`.
        cutting: the group fields that determine how data is divided into batches.
    """
    known = theirs.to_dict()
    inherited = {name: known[name] for name in (*INHERITED, *cutting) if name in known}
    share = (1.0 if again else LR_SHARE) * float(f"{max(to_learn**2, LEAST_SHARE):.1g}")
    config = TrainConfig(
        groups=usual.groups,
        methods=usual.methods,
        batch_size=theirs.batch_size,
        lr=_scaled(theirs.lr, share),
        schedule="one-cycle",
        clip_grad_norm=CLIP_GRAD_NORM,
    )
    config = _with_enough_steps(config.replace(merged(inherited, said)), said, steps, EPOCH_STEPS)
    epochs = math.ceil(TOTAL_STEPS / max(1, steps(config)))
    return config.replace({"epochs": min(max(epochs, EPOCHS[0]), EPOCHS[1]), **said})


def _with_enough_steps(
    config: TrainConfig, said: Mapping[str, Any], steps: Steps, enough: int
) -> TrainConfig:
    """Halve the batch size until an epoch has enough steps, unless the user sets a batch size."""
    while "batch_size" not in said and config.batch_size > SMALLEST_BATCH and steps(config) < enough:
        config = config.replace({"batch_size": max(SMALLEST_BATCH, config.batch_size // 2)})
    return config


def _per_step(config: TrainConfig) -> int:
    """Return the number of items, or parallel streams, in an optimizer step."""
    return config.batch_size * config.grad_accum_steps


def _scaled(lr: float, share: float) -> float:
    return lr if share == 1 else float(f"{lr * share:.3g}")
