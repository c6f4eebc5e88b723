"""Use the task under check: its batches of the tiny dataset, a model for its step, its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.evaluation.measure import metrics_of
from zoo.interfaces import Batch, Step, Task
from zoo.testing._case import Case
from zoo.testing._models import drawing_from, model_for

# Items or lanes of a training batch
BATCH = 4


def training(case: Case, task: Task | None = None, /, **which: Any) -> list[Batch]:
    """Return training batches of the tiny dataset, each of a few items or streams: all, or only `which`."""
    config = case.registry.default_config(case.spec.name).replace({"batch_size": BATCH})
    which = {"seed": 0, "epoch": 0, **which}
    return [*(task or case.task).train_batches(case.tiny(), config, **which)]


def same(one: list[Batch], other: list[Batch]) -> bool:
    """Return whether batches are equal."""
    return len(one) == len(other) and all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) and a.seed == b.seed
        for a, b in zip(one, other, strict=True)
    )


def items_of(batches: Iterable[Batch]) -> list[tuple[bytes, bytes]]:
    """Return the input and the target of each item of some batches."""
    return [
        (shown.contiguous().numpy().tobytes(), target.contiguous().numpy().tobytes())
        for batch in batches
        for shown, target in zip(batch.inputs, batch.targets, strict=True)
    ]


def model_of(case: Case) -> nn.Module:
    """Return a fresh model for the tiny dataset. Raises Skip if there is none."""
    return model_for(case.registry, case.spec, case.tiny().dims)


def as_outputs(targets: Tensor, shape: torch.Size) -> Tensor | None:
    """Return targets in the shape of outputs, each repeated for all its outputs; None if it has none."""
    if targets.numel() == shape.numel():
        return targets.reshape(shape)
    if targets.shape != shape[: targets.ndim]:
        return None
    return targets.view(*targets.shape, *[1] * (len(shape) - targets.ndim)).expand(shape).clone()


def step_on(case: Case, model: nn.Module, batch: Batch) -> Step:
    """Return a fresh task's step on a batch."""
    with drawing_from(0):
        return case.task.step(model, batch, None)


def summed(case: Case, task: Task) -> tuple[dict[str, Tensor], int]:
    """Return the sums of an untrained model over the val split, and their count."""
    model, sums = model_of(case).eval(), dict[str, Tensor]()
    count, state = 0, None
    with torch.no_grad():
        for batch in task.eval_batches(case.tiny(), "val"):
            made = task.step(model, batch, state)
            state, count = made.state, count + made.count
            for name, total in made.sums.items():
                sums[name] = sums.get(name, 0.0) + total.double()
    return sums, count


def measured(case: Case, task: Task) -> Mapping[str, float]:
    """Return the metrics of an untrained model on the val split."""
    return metrics_of(task, *summed(case, task), case.tiny().preprocess)
