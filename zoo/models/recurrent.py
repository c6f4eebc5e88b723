"""How torch computes recurrent layers, chosen for one thread: its own switches are for the whole process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Differentiable", "SingleSteps"]

_LAYERS = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class SingleSteps(TorchFunctionMode):
    """Inside, an LSTM on a CPU computes a single step without oneDNN, with the same result as torch's own.

    oneDNN repacks the weights in each call, at ten times the cost of the step itself.

    Attributes:
        found: whether there was an LSTM.
    """

    found = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.found = self.found or func is torch.lstm
        if func is torch.lstm and len(args) == 9 and _is_plain_step(args[0], *args[2:]):
            tokens, (hidden, cell), weights, _, layers, *_ = args
            states: list[tuple[Tensor, Tensor]] = []
            output = tokens[0]  # (B, E)
            for n in range(layers):
                states.append(torch.lstm_cell(output, (hidden[n], cell[n]), *weights[4 * n : 4 * n + 4]))
                output = states[-1][0]
            hiddens, cells = zip(*states, strict=True)
            return output[None], torch.stack(hiddens), torch.stack(cells)
        return func(*args, **(kwargs or {}))


class Differentiable(TorchFunctionMode):
    """Inside, recurrent layers in evaluation mode have a backward pass with cuDNN, too.

    cuDNN has one in training mode only, which without dropout is the same.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _LAYERS and args[0].is_cuda and isinstance(args[3], bool) and not args[6]:
            args = (*args[:5], 0.0, True, *args[7:])
        return func(*args, **(kwargs or {}))


def _is_plain_step(
    tokens: Tensor,
    weights: Any,
    bias: Any,
    layers: Any,
    dropout: float,
    training: bool,
    bidirectional: bool,
    batch_first: bool,
) -> bool:
    """Return whether arguments of `torch.lstm` are for one step of (1, B, E), forwards, without dropout."""
    return (
        bias is True  # a packed sequence has its weights here
        and tokens.device.type == "cpu"
        and tokens.ndim == 3
        and len(tokens) == 1
        and not (bidirectional or batch_first or (training and dropout))
        and len(weights) == 4 * layers  # no projections
    )
