"""The stateful LSTM with its gates written out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_charrnn.options import Positive

LSTMCellState = tuple[Tensor, Tensor]


class LSTMCell(nn.Module):
    """One time step of an LSTM.

    With the same weights, it computes what `nn.LSTMCell` does.

    Args:
        input_size: size of the input.
        hidden_size: size of the hidden state and of the cell state.

    Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; the forget gate is from Gers et al. 2000.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.from_input = nn.Linear(input_size, 4 * hidden_size)
        self.from_hidden = nn.Linear(hidden_size, 4 * hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)  # as in torch's layers

    def forward(self, x: Tensor, state: LSTMCellState) -> LSTMCellState:
        """Map an input (B, E) and the state, (B, H) twice, to the next hidden state and cell state."""
        hidden, cell = state
        gates = self.from_input(x) + self.from_hidden(hidden)  # (B, 4H)
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)  # (B, H) each
        kept = torch.sigmoid(forget_gate) * cell
        cell = kept + torch.sigmoid(input_gate) * torch.tanh(candidate)
        hidden = torch.sigmoid(output_gate) * torch.tanh(cell)
        return hidden, cell


class CharLSTMCell(nn.Module):
    """Embedding, an LSTM cell called once per time step, and a linear layer back to the vocabulary.

    With the same weights, its outputs equal those of a one-layer `CharLSTM`.

    Args:
        vocab_size: number of tokens in the vocabulary.
        embedding_dim: size of a token's embedding.
        hidden_size: size of the hidden state and of the cell state.

    Source: fast.ai deep learning course, lesson 6 (CharSeqStatefulLSTM has two layers); 323,944 parameters
    at 56 tokens.
    """

    def __init__(self, *, vocab_size: int, embedding_dim: Positive = 42, hidden_size: Positive = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.cell = LSTMCell(embedding_dim, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: LSTMCellState | None = None) -> tuple[Tensor, LSTMCellState]:
        """Map tokens (T, B) and a state, (B, H) twice, to logits (T, B, V) and the next state."""
        embedded = self.embedding(tokens)  # (T, B, E)
        zeros = embedded.new_zeros(tokens.shape[1], self.out.in_features)
        hidden, cell = (zeros, zeros) if state is None else state
        outputs: list[Tensor] = []
        for x in embedded:  # (B, E), one time step
            hidden, cell = self.cell(x, (hidden, cell))  # (B, H) each
            outputs.append(hidden)
        return self.out(torch.stack(outputs)), (hidden, cell)
