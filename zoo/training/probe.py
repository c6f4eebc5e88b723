"""Fit a new last layer to the features of a pretrained model, before fine-tuning.

A random last layer sends large gradients into the layers below it, which distort their features before the
new layer has learned to use them. A linear probe, fitted to the features first, avoids this, and its loss on
items that it was not fitted to shows how well the features suit the data.

Source: Kumar et al. 2022, arXiv 2202.10054 (LP-FT).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.config.train_config import TrainConfig
from zoo.errors import warn
from zoo.interfaces import Batch, CarriesState, Dataset, Task
from zoo.models.hooks import evaluating, receiving, watching

# More features hardly improve the fit, and computing them takes time before the first step
MOST_ITEMS = 2_048
# The strengths of the L2 penalty to choose from, and the share of the items that chooses
PENALTIES = (0.1, 0.01, 0.001, 0.0001)
HELD_OUT = 0.2


def fit_last_layer(model: nn.Module, task: Task, dataset: Dataset, fresh: Sequence[str]) -> float | None:
    """Fit the last layer to the training data, if it is linear and nothing else is new.

    Returns its mean loss on the items that were held out to choose the penalty. For other models, for fewer
    than 10 items and if the loss is not finite, returns None and changes nothing.

    Args:
        fresh: names of the newly initialized tensors.
    """
    name = fresh[0].rpartition(".")[0] if fresh else ""
    layer = model.get_submodule(name)
    if not name or not isinstance(layer, nn.Linear) or isinstance(task, CarriesState):
        return None
    if {*fresh} != {f"{name}.{each}" for each, _ in layer.named_parameters()}:
        return None
    features = _features(model, name, task, dataset)
    if features is None or features.count < 10 or not math.isfinite(_measure(layer, task, features)[0]):
        return None
    held_out = int(features.count * HELD_OUT)
    some, others = _part(features, slice(held_out, None)), _part(features, slice(held_out))
    losses: dict[float, tuple[float, float]] = {}
    for penalty in PENALTIES:
        _fit(layer, task, some, penalty)
        losses[penalty] = _measure(layer, task, others)
    lowest, error = min(losses.values())
    # Among penalties that held-out items cannot tell apart, the strongest changes least with the sample
    chosen = max(penalty for penalty, (loss, _) in losses.items() if loss <= lowest + error)
    _fit(layer, task, features, chosen)
    items = f"{features.count:,} training {task.processor.unit(dataset.preprocess)}"
    warn(f"the new layer {name} starts from a fit to the features of {items}")
    return losses[chosen][0]


def _features(model: nn.Module, name: str, task: Task, dataset: Dataset) -> Batch | None:
    """Return what the last layer receives for training items; None if its output is not the model's."""
    layer, few = {name: model.get_submodule(name)}, TrainConfig(batch_size=128)  # not augmented
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    seen: list[object] = []  # what the layer receives and returns, once per batch
    batch = None
    with (
        torch.no_grad(),
        evaluating(model),
        receiving(layer, lambda _, x: seen.append(x)),
        watching(layer, lambda _, y: seen.append(y)),
    ):
        for batch in task.train_batches(dataset, few, seed=0, epoch=0):
            output = model(batch.inputs)
            if len(seen) != 2 or seen[1] is not output or not isinstance(seen[0], Tensor):
                return None
            inputs.append(seen[0].clone())
            targets.append(batch.targets)
            seen.clear()
            if len(inputs) * few.batch_size >= MOST_ITEMS:
                break
    return batch and replace(batch, inputs=torch.cat(inputs), targets=torch.cat(targets), weights=None)


def _part(batch: Batch, items: slice) -> Batch:
    return replace(batch, inputs=batch.inputs[items], targets=batch.targets[items])


def _measure(layer: nn.Linear, task: Task, batch: Batch) -> tuple[float, float]:
    """Return the mean loss, and its standard error if the task gives the loss of each item."""
    with torch.no_grad(), evaluating(layer):
        step = task.step(layer, batch)
    items = step.items().get("loss") if step.items else None
    error = 0.0 if items is None else float(items.double().std()) / math.sqrt(len(items))
    return float(step.sums["loss"]) / step.count, error


def _fit(layer: nn.Linear, task: Task, batch: Batch, penalty: float) -> None:
    """Minimize the task's loss, plus an L2 penalty, with L-BFGS from zeros."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = task.step(layer, batch).loss + penalty / 2 * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # pyright: ignore[reportArgumentType] - its stub asks for a float
    optimizer.zero_grad()
