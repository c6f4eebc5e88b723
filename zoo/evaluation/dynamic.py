"""Dynamic evaluation: a language model keeps learning from the text that it is evaluated on.

The text is read in one lane, a short segment at a time. A segment is scored first, and only then does a copy
of the model take a gradient step on it. So every token but the very first is predicted once, from nothing but
the text before it, by a model that has adapted to that text. The result is not a property of the weights
alone: compare it with the same lane read at a learning rate of 0, not with the sixteen lanes of static
evaluation.

A step goes down the gradient and a little back to the trained weights, each parameter at its own rate::

    r = RMS of the parameter's gradient on the first 200 segments of the training split
    weight += decay * r / mean(r) * (trained - weight) - lr * gradient / max(r, 0.3 mean(r))

Source: Mikolov et al. 2010, "Recurrent neural network based language model", section 2; the step is that of
Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models", section 4, arXiv 1709.07432.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo.config import options
from zoo.errors import DataError, Diverged
from zoo.interfaces import Batch, CarriesState, Dataset, Split, Step, Task
from zoo.models.recurrent import Differentiable, flattened
from zoo.models.states import detach
from zoo.models.windows import windowed

__all__ = ["Dynamic", "evaluate_dynamic"]

_TRAINING_SEGMENTS = 200
# Fraction of the mean RMS that a gradient is divided by at least, for weights with hardly any gradient
_FLOOR = 0.3


@dataclass(frozen=True, slots=True)
class Dynamic:
    """How a model adapts. Raises OptionError for a value that is out of range.

    Attributes:
        decay: fraction of the way back to the trained weights that a parameter of mean RMS moves in a step.
        segment: tokens between two steps.
    """

    lr: Annotated[float, Meta(ge=0, le=1e38, description="between 0 (no adaptation) and 1e38")] = 3e-4
    decay: Annotated[float, Meta(ge=0, le=1, description="between 0 and 1")] = 1e-3
    segment: Annotated[int, Meta(ge=1)] = 20

    def __post_init__(self) -> None:
        options.validate(self, what="dynamic")


@torch.enable_grad()
def evaluate_dynamic(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    dynamic: Dynamic,
    *,
    context: int = 0,
    device: str = "cpu",
    report: Callable[[int, int, float], None] = lambda done, total, loss: None,
) -> tuple[dict[str, float], int]:
    """Return a split's metrics under dynamic evaluation, and the number of tokens behind them.

    In fp32, without dropout and without any random draw. A copy of `model` adapts; `model` does not change.

    Args:
        task: that of the model, a `CarriesState`.
        context: most tokens that the model reads from an empty state on; 0 is any.
        report: called after each segment with the tokens done, their total, and the loss so far.

    Raises:
        DataError: the split, or the training split, is empty.
        Diverged: the loss is no longer finite.
    """
    for name in ("train", split):
        if len(dataset.split(name)) == 0:
            raise DataError(f"the {name} split is empty")
    ours = windowed(flattened(copy.deepcopy(model)), context).eval().requires_grad_()
    total, count = 0.0, 0
    with Differentiable():
        adapt = _adapter(ours, model, task, dataset, dynamic, device) if dynamic.lr else None
        for batch, step in _segments(ours, task, dataset, split, dynamic.segment, device):
            total += float(step.sums["loss"])
            count += step.count
            if not math.isfinite(total):
                message = f"dynamic evaluation diverged within {count:,} tokens: the loss is {total}"
                raise Diverged(message, hint=f"try a --dynamic-lr below {dynamic.lr:g}")
            if adapt is not None:
                adapt(step)
            report(count, count * batch.total // (batch.index + 1), total / count)
    return task.metrics({"loss": total}, count, dataset.preprocess), count


def _adapter(
    ours: nn.Module, model: nn.Module, task: Task, dataset: Dataset, dynamic: Dynamic, device: str
) -> Callable[[Step], None]:
    """Return a function that updates `ours`, a copy of `model`, on the segment just scored."""
    parameters = [*ours.parameters()]
    trained = [parameter.detach() for parameter in model.parameters()]
    scales = _scales(ours, task, dataset, dynamic.segment, device)
    mean = sum(float(scale.sum()) for scale in scales) / sum(scale.numel() for scale in scales)
    if mean == 0:
        raise DataError(
            "every gradient on the training split is zero; dynamic evaluation cannot scale its steps"
        )
    pulls = [(dynamic.decay / mean * scale).clamp(max=1) for scale in scales]
    for scale in scales:
        scale.clamp_(min=_FLOOR * mean)

    @torch.no_grad()
    def adapt(step: Step) -> None:
        gradients = _gradients(step, parameters)
        for n, parameter in enumerate(parameters):
            parameter.lerp_(trained[n], pulls[n])
            parameter.addcdiv_(gradients[n], scales[n], value=-dynamic.lr)

    return adapt


def _scales(model: nn.Module, task: Task, dataset: Dataset, segment: int, device: str) -> list[Tensor]:
    """Return the RMS of each parameter's gradient over the first segments of the training split."""
    parameters = [*model.parameters()]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    segments = islice(_segments(model, task, dataset, "train", segment, device), _TRAINING_SEGMENTS)
    count = 0
    for _, step in segments:
        count += 1
        for square, gradient in zip(squares, _gradients(step, parameters), strict=True):
            square.addcmul_(gradient, gradient)
    return [(square / count).sqrt_() for square in squares]


def _segments(
    model: nn.Module, task: Task, dataset: Dataset, split: Split, segment: int, device: str
) -> Iterator[tuple[Batch, Step]]:
    """Yield a split's segments, and what the model makes of each before the next is read."""
    assert isinstance(task, CarriesState)
    carried = None
    for batch in task.lane_batches(dataset, split, lanes=1, steps=segment, device=device):
        step = task.step(model, batch, carried)
        carried = detach(step.state)
        yield batch, step


def _gradients(step: Step, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(step.loss, parameters, allow_unused=True, materialize_grads=True)
