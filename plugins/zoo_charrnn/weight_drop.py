"""An LSTM layer with dropout on its recurrent matrix, with one mask per forward pass.

The parameter does not change. The masked matrix is a temporary tensor that is passed to the kernel, so the
module keeps no state, and the gradient reaches the parameter through the mask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.plugin import in_one_chunk
from zoo_charrnn.dropout import drop_connections

# Hidden state and cell state, both (1, B, H)
LayerState = tuple[Tensor, Tensor]


class WeightDropLSTM(nn.Module):
    """One LSTM layer with DropConnect on its hidden-to-hidden matrix.

    Args:
        input_size: number of input features.
        hidden_size: number of output features.
        weight_drop: probability that a recurrent weight is zero in a training pass.
        fused: compute all time steps in a single call to torch's LSTM kernel instead of in a readable loop.

    Source: Merity, Keskar & Socher 2018, "Regularizing and Optimizing LSTM Language Models", section 2.
    """

    def __init__(self, input_size: int, hidden_size: int, *, weight_drop: float, fused: bool) -> None:
        super().__init__()
        self.weight_drop = weight_drop
        self.fused = fused
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState]:
        """Map x (T, B, I) and a state to all hidden states (T, B, H) and the last state."""
        if state is None:
            zeros = x.new_zeros(1, x.shape[1], self.weight_hh.shape[1])
            state = zeros, zeros
        weight_hh = drop_connections(self.weight_hh, self.weight_drop, training=self.training)
        weights = [self.weight_ih, weight_hh, self.bias_ih, self.bias_hh]
        if not self.fused:
            return _loop(x, state, *weights)
        if x.is_cuda:
            weights = in_one_chunk(weights)
        output, hidden, cell = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, False)
        return output, (hidden, cell)


def _loop(
    x: Tensor, state: LayerState, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, LayerState]:
    """Compute the same result as the fused kernel, one time step at a time."""
    hidden, cell = state[0][0], state[1][0]  # (B, H)
    outputs: list[Tensor] = []
    for inputs in F.linear(x, weight_ih, bias_ih):  # (B, 4 H), one time step
        gates = inputs + F.linear(hidden, weight_hh, bias_hh)
        enter, forget, candidate, leave = gates.chunk(4, 1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs), (hidden[None], cell[None])
