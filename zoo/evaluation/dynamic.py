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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from zoo.errors import DataError, Diverged, OptionError
from zoo.interfaces import Dataset, Split, Step
from zoo.tasks.language_modelling import LanguageModelling

__all__ = ["Dynamic", "evaluate_dynamic"]

_TRAINING_SEGMENTS = 200
_FLOOR = 0.3
"""Fraction of the mean RMS that a gradient is divided by at least, for weights with hardly any gradient."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """How a model adapts. Raises OptionError for a value that is out of range."""

    lr: float = 3e-4
    decay: float = 1e-3
    """Fraction of the way back to the trained weights that a parameter of mean RMS moves in a step."""
    segment: int = 20
    """Tokens between two steps."""

    def __post_init__(self) -> None:
        if not 0 <= self.lr <= 1e38:
            raise OptionError(f"dynamic lr must be between 0 (no adaptation) and 1e38 (got {self.lr})")
        if not 0 <= self.decay <= 1:
            raise OptionError(f"dynamic decay must be between 0 and 1 (got {self.decay})")
        if self.segment < 1:
            raise OptionError(f"segment must be at least 1 token (got {self.segment})")


@torch.enable_grad()
def evaluate_dynamic(
    model: nn.Module,
    dataset: Dataset,
    split: Split,
    dynamic: Dynamic,
    *,
    device: str = "cpu",
    report: Callable[[float, float], None] = lambda fraction, loss: None,
) -> tuple[dict[str, float], int]:
    """Return a split's metrics under dynamic evaluation, and the number of tokens behind them.

    In fp32, without dropout and without any random draw. A copy of `model` adapts; `model` does not change.

    Args:
        report: called after each segment with the fraction of the split that is read, and the loss so far.

    Raises:
        DataError: the split, or the training split, is empty.
        Diverged: the loss is no longer finite.
    """
    for name in ("train", split):
        if len(dataset.split(name)) == 0:
            raise DataError(f"the {name} split is empty")
    task = LanguageModelling()
    ours = copy.deepcopy(model).eval().requires_grad_()
    total, count, carried = 0.0, 0, None
    with torch.backends.cudnn.flags(enabled=False):  # whose RNNs have no backward in eval mode
        adapt = _adapter(ours, model, dataset, dynamic, device) if dynamic.lr else _stand_still
        for batch in task.eval_batches(dataset, split, device=device, lanes=1, steps=dynamic.segment):
            step = task.step(ours, batch, carried)
            carried = step.state
            total += float(step.sums["loss"])
            count += step.count
            if not math.isfinite(total):
                raise Diverged(
                    f"dynamic evaluation diverged within {count:,} tokens: the loss is {total}",
                    hint=f"try a --dynamic-lr below {dynamic.lr:g}",
                )
            adapt(step)
            report((batch.index + 1) / batch.total, total / count)
    return task.metrics({"loss": total}, count, dataset.preprocess), count


def _adapter(
    ours: nn.Module, model: nn.Module, dataset: Dataset, dynamic: Dynamic, device: str
) -> Callable[[Step], None]:
    """Return a function that updates `ours`, a copy of `model`, on the segment just scored."""
    parameters = [*ours.parameters()]
    trained = [parameter.detach() for parameter in model.parameters()]
    scales = _scales(ours, dataset, dynamic.segment, device)
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


def _stand_still(step: Step) -> None:
    """Do not adapt."""


def _scales(model: nn.Module, dataset: Dataset, segment: int, device: str) -> list[Tensor]:
    """Return the RMS of each parameter's gradient over the first segments of the training split."""
    task = LanguageModelling()
    parameters = [*model.parameters()]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    batches = task.eval_batches(dataset, "train", device=device, lanes=1, steps=segment)
    count, carried = 0, None
    for batch in islice(batches, _TRAINING_SEGMENTS):
        step = task.step(model, batch, carried)
        carried = step.state
        count += 1
        for square, gradient in zip(squares, _gradients(step, parameters), strict=True):
            square.addcmul_(gradient, gradient)
    return [(square / count).sqrt_() for square in squares]


def _gradients(step: Step, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(step.loss, parameters, allow_unused=True, materialize_grads=True)
