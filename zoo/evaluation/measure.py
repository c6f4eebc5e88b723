"""A module measured on a split: every item once, in fp32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.interfaces import SPLITS, Dataset, Split, Task
from zoo.models.hooks import evaluating

__all__ = ["Measured", "measure"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of an evaluation.

    Attributes:
        details: results that are more than a number, such as each class's accuracy, as JSON data.
        count: items that were measured.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    count: int


@torch.inference_mode()
def measure(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    *,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Measure a model on a split, every item once, in fp32 whatever it was trained in.

    Args:
        report: called at the start and after each batch with the number of items done and their total, which
            is estimated from the batches so far, and at the start 0; it may raise to stop.

    Raises:
        DataError: the split is empty.
    """
    sums: dict[str, Tensor] = {}
    count, state = 0, None
    report(0, 0)
    with evaluating(model):
        for batch in task.eval_batches(dataset, split, device=device):
            step = task.step(model, batch, state)
            state = step.state
            count += step.count
            for name, value in step.sums.items():
                sums[name] = sums.get(name, 0.0) + value.double()
            report(count, count * batch.total // (batch.index + 1))
    if count == 0:
        others = [name for name in SPLITS if name != split and len(dataset.split(name))]
        hint = f"there is data in {' and '.join(others)}: --split {others[-1]}" if others else None
        raise DataError(f"the {split} split is empty", hint=hint)
    totals = {name: float(value) for name, value in sums.items() if value.ndim == 0}
    metrics = task.metrics(totals, count, dataset.preprocess)
    return Measured(metrics, task.details(sums, dataset.preprocess), count)
