"""Dynamic evaluation: a language model keeps learning from the text that it is evaluated on.

The text is read as one stream, a short segment at a time. A segment is scored first, and only then does a
copy of the model take a gradient step on it. Therefore, every token except the first is predicted once, from
only the preceding text, by a model that has adapted to that text. The result is not a property of the weights
alone: compare it with the same stream read without adaptation, not with the sixteen parallel streams of `zoo
eval`.

A step follows the gradient, and also moves each parameter slightly back toward its trained value, at a
separate rate::

    r = RMS of the parameter's gradient on the first 200 segments of the training split
    weight += decay * r / mean(r) * (trained - weight) - lr * gradient / max(r, 0.3 mean(r))

Source: Mikolov et al. 2010, "Recurrent neural network based language model", section 2; the step follows
Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models", section 4, arXiv 1709.07432.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from zoo import DataError, OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import Diverged, detach, text_metrics, untouched

_TRAINING_SEGMENTS = 200
# Fraction of the mean RMS that a gradient is divided by at least, for weights with hardly any gradient
_FLOOR = 0.3
_LAYERS = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class DynamicEvaluation(Analyzer):
    """The metrics of a language model that keeps learning from the text, with and without adaptation.

    The text is read as one stream, without dropout or other randomness. Only a copy of the model adapts.

    Args:
        lr: step size, between 0 (no adaptation) and 1e38.
        decay: fraction of the distance to its trained value by which a parameter of average gradient RMS
            moves back at each step.
        segment: number of tokens between two steps.
    """

    def __init__(
        self,
        *,
        lr: Annotated[float, Meta(ge=0, le=1e38)] = 3e-4,
        decay: Annotated[float, Meta(ge=0, le=1)] = 1e-3,
        segment: Annotated[int, Meta(ge=1)] = 20,
    ) -> None:
        self.lr = lr
        self.decay = decay
        self.segment = segment

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the metrics as scores, and the table `evaluations`, with and without adaptation.

        Raises:
            OptionError: the model cannot read a text of arbitrary length.
            Diverged: the loss is no longer finite.
            DataError: all gradients on the training split are zero.
        """
        if subject.context:
            what = f"this model reads at most {subject.context:,} tokens"
            raise OptionError(f"dynamic evaluation requires a model with unlimited context, but {what}")
        assert subject.reference is not None
        device = next(model.parameters()).device
        text = _tokens(batches).to(device)
        train = _tokens(subject.reference.batches, most=1 + _TRAINING_SEGMENTS * self.segment).to(device)
        with untouched(model) as inner, torch.no_grad():
            still = self._loss(inner, text, None, ())
        with untouched(model) as inner, torch.enable_grad(), _Differentiable():
            ours = _adaptable(inner)
            adapt = self._adapter(ours, train) if self.lr else None
            loss = self._loss(ours, text, adapt, batches)
        unadapted, adapted = (text_metrics(each, subject.preprocess) for each in (still, loss))
        rows = [{"evaluation": "one stream", **unadapted}, {"evaluation": "dynamic", **adapted}]
        return Analysis(
            scores=adapted,
            tables={"evaluations": rows},
            details={"tokens": len(text) - 1},
            text=f"one stream without adaptation: loss {still:.4f} nats\n"
            f"dynamic evaluation, lr {self.lr:g}, decay {self.decay:g}:",
        )

    def _loss(
        self,
        model: nn.Module,
        text: Tensor,
        adapt: Callable[[Tensor], None] | None,
        batches: Iterable[Batch],
    ) -> float:
        """Return the mean loss of a text; `adapt` is called with each segment after it is scored.

        Args:
            batches: the batches of the text. Iterating over the batches reports progress, so they are read as
                the text is scored.
        """
        losses = _segment_losses(model, text, self.segment)
        total, count = 0.0, 0

        def read(loss: Tensor, tokens: int) -> None:
            nonlocal total, count
            total += float(loss.detach() * tokens)
            count += tokens
            if not math.isfinite(total):
                message = f"dynamic evaluation diverged within {count:,} tokens: the loss is {total}"
                raise Diverged(message, hint=f"lower the learning rate (currently --option lr={self.lr:g})")
            if adapt is not None:
                adapt(loss)

        through = 0
        for batch in batches:
            through += batch.count
            while count < through and (segment := next(losses, None)):
                read(*segment)
        for segment in losses:
            read(*segment)
        return total / count

    def _adapter(self, ours: nn.Module, train: Tensor) -> Callable[[Tensor], None]:
        """Return a function that takes a step on the loss of the segment just scored."""
        parameters = [*ours.parameters()]
        trained = [parameter.detach().clone() for parameter in parameters]
        scales = self._scales(ours, train)
        mean = sum(float(scale.sum()) for scale in scales) / sum(scale.numel() for scale in scales)
        if mean == 0:
            raise DataError(
                "all gradients on the training split are zero, so dynamic evaluation cannot scale its steps"
            )
        pulls = [(self.decay / mean * scale).clamp(max=1) for scale in scales]
        for scale in scales:
            scale.clamp_(min=_FLOOR * mean)

        def adapt(loss: Tensor) -> None:
            gradients = _gradients(loss, parameters)
            with torch.no_grad():
                for n, parameter in enumerate(parameters):
                    parameter.lerp_(trained[n], pulls[n])
                    parameter.addcdiv_(gradients[n], scales[n], value=-self.lr)

        return adapt

    def _scales(self, model: nn.Module, train: Tensor) -> list[Tensor]:
        """Return the RMS of each parameter's gradient over the first segments of the training split."""
        parameters = [*model.parameters()]
        squares = [torch.zeros_like(parameter) for parameter in parameters]
        count = 0
        for loss, _ in _segment_losses(model, train, self.segment):
            count += 1
            for square, gradient in zip(squares, _gradients(loss, parameters), strict=True):
                square.addcmul_(gradient, gradient)
        return [(square / count).sqrt_() for square in squares]


def _tokens(batches: Iterable[Batch], *, most: int | None = None) -> Tensor:
    """Return the tokens of a text in order, (N,), or only the first tokens if a count is given.

    The parallel streams of a batch are consecutive parts of the text; a fresh state starts a new text.
    """
    runs: list[list[Tensor]] = []
    first = torch.empty(0, dtype=torch.int64)
    for batch in batches:
        if not runs:
            first = batch.inputs[:1, 0].cpu()
        if batch.fresh or not runs:
            runs.append([])
        runs[-1].append(batch.targets.cpu())
        if most is not None and len(runs) == 1 and sum(map(len, runs[0])) >= most:
            break  # the first lane has them all
    text = [torch.cat(run).T.flatten() for run in runs]
    return torch.cat([first, *text])[:most]


def _segment_losses(model: nn.Module, text: Tensor, segment: int) -> Iterator[tuple[Tensor, int]]:
    """Yield the mean loss of each segment and its tokens, before reading the next segment."""
    state = None
    for start in range(0, len(text) - 1, segment):
        targets = text[start + 1 : start + 1 + segment]
        inputs = text[start : start + len(targets), None]
        logits, state, *_ = model(inputs, state)
        state = detach(state)
        yield F.cross_entropy(logits.flatten(0, 1).float(), targets), len(targets)


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


def _adaptable(model: nn.Module) -> nn.Module:
    """Return a copy of a model with all parameters trainable."""
    ours = copy.deepcopy(model).eval().requires_grad_()
    for module in ours.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # which copying has torn apart
    return ours


class _Differentiable(TorchFunctionMode):
    """Within the `with` block, allow backward passes through recurrent layers in evaluation mode.

    cuDNN supports backward passes only in training mode, which is equivalent without dropout.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _LAYERS and args[0].is_cuda and isinstance(args[3], bool) and not args[6]:
            args = (*args[:5], 0.0, True, *args[7:])
        return func(*args, **(kwargs or {}))
