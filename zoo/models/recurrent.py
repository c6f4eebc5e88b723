"""Choose how torch computes recurrent layers in one thread; torch's settings apply to the whole process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_LAYERS = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class SingleSteps(TorchFunctionMode):
    """In the `with` block, an LSTM on a CPU computes a single step without oneDNN, with the same result.

    oneDNN repacks the weights in each call, at ten times the cost of the step itself.

    Attributes:
        found: whether an LSTM was called.
    """

    found = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not torch.lstm:  # many functions in each step
            return func(*args, **kwargs) if kwargs else func(*args)
        self.found = True
        if len(args) != 9:
            return func(*args, **(kwargs or {}))
        x, state, weights, bias, layers, dropout, training, bidirectional, batch_first = args
        # A packed sequence has its weights where others say whether there are biases
        plain = bias is True and not (bidirectional or batch_first or (training and dropout))
        plain = plain and len(weights) == 4 * layers  # no projections
        if not plain or x.device.type != "cpu" or x.ndim != 3 or len(x) != 1:
            return func(*args)
        states: list[tuple[Tensor, Tensor]] = []
        output = x[0]  # (B, E)
        for n, (hidden, cell) in enumerate(zip(*state, strict=True)):
            states.append(torch.lstm_cell(output, (hidden, cell), *weights[4 * n : 4 * n + 4]))
            output = states[-1][0]
        hiddens, cells = zip(*states, strict=True)
        return output[None], torch.stack(hiddens), torch.stack(cells)


class SingleLSTMs(TorchFunctionMode):
    """In the `with` block, an LSTM on a CPU computes in fp32 if autocast requests bf16.

    On processors without AVX-512, oneDNN has no bf16 LSTM, but PyTorch calls it anyway.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not torch.lstm or args[0].device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return func(*args, **(kwargs or {}))
        parts = [[*map(_single, part)] if isinstance(part, list | tuple) else part for part in args]
        with torch.autocast("cpu", enabled=False):
            return func(*(_single(part) if isinstance(part, Tensor) else part for part in parts))


class Trainable(TorchFunctionMode):
    """In the `with` block, recurrent layers on a GPU train like all other layers.

    cuDNN's dropout between layers makes the host wait for the GPU after each new seed, so torch's dropout
    replaces it. For bf16, autocast lets cuDNN compute in fp16, which would require loss scaling, so these
    layers compute in fp32.

    Args:
        kind: the type of the device.
    """

    def __init__(self, kind: str = "cuda") -> None:
        self._kind = kind
        super().__init__()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        # A packed sequence has its weights where others say whether there are biases
        if func not in _LAYERS or len(args) != 9 or not isinstance(args[3], bool):
            return func(*args, **(kwargs or {}))
        if args[0].device.type != self._kind:
            return func(*args)
        kind, whole = self._kind, contextlib.nullcontext()
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) is torch.bfloat16:
            whole = torch.autocast(kind, enabled=False)
            tokens, state, weights, *rest = args
            state = tuple(map(_single, state)) if func is torch.lstm else _single(state)
            args = (_single(tokens), state, [*map(_single, weights)], *rest)
        with whole:
            return _layer_by_layer(func, args)


def _single(part: Tensor) -> Tensor:
    return part.float() if part.dtype in (torch.bfloat16, torch.float16) else part


def _layer_by_layer(func: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Compute recurrent layers from torch's arguments, with dropout between them outside the kernel."""
    x, state, weights, bias, layers, dropout, training, bidirectional, batch_first = args
    plain = bias and not bidirectional and len(weights) == 4 * layers  # no projections
    if not (plain and training and dropout and layers > 1):
        return func(*args)
    ends: list[Any] = []
    for n in range(layers):
        x = F.dropout(x, dropout) if n else x
        own = tuple(part[n : n + 1] for part in state) if func is torch.lstm else state[n : n + 1]
        chunk = in_one_chunk(weights[4 * n : 4 * n + 4])
        x, *end = func(x, own, chunk, True, 1, 0.0, True, False, batch_first)
        ends.append(end)
    return x, *(torch.cat(parts) for parts in zip(*ends, strict=True))


def in_one_chunk(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of weights as views of one buffer, in order; gradients reach the weights.

    Use them for weights that a module computes, such as masked ones, and passes to a recurrent kernel on a
    GPU. Without one buffer, cuDNN copies the weights in each call and warns.
    """
    buffer = torch.cat([weight.flatten() for weight in weights])
    parts = buffer.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def flattened(model: nn.Module) -> nn.Module:
    """Put the weights of each recurrent layer into one chunk of memory, if copying separated them."""
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()
    return model
