"""The stateful GRU with its gates written out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_charrnn.options import Positive


class GRUCell(nn.Module):
    """One time step of a GRU.

    With the same weights, it computes what `nn.GRUCell` does.

    Args:
        input_size: size of the input.
        hidden_size: size of the hidden state.

    Source: Cho et al. 2014, arXiv 1406.1078, section 2.3; with the reset gate after the matrix product, as
    in torch.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.from_input = nn.Linear(input_size, 3 * hidden_size)
        self.from_hidden = nn.Linear(hidden_size, 3 * hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)  # as in torch's layers

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Map an input (B, E) and the hidden state (B, H) to the next hidden state (B, H)."""
        reset_x, update_x, new_x = self.from_input(x).chunk(3, dim=1)  # (B, H) each
        reset_h, update_h, new_h = self.from_hidden(hidden).chunk(3, dim=1)
        reset = torch.sigmoid(reset_x + reset_h)  # how much of the hidden state the candidate may use
        update = torch.sigmoid(update_x + update_h)  # how much of the hidden state stays as it is
        candidate = torch.tanh(new_x + reset * new_h)
        return update * hidden + (1 - update) * candidate


class CharGRUCell(nn.Module):
    """Embedding, a GRU cell called once per time step, and a linear layer back to the vocabulary.

    With the same weights, its outputs equal those of a one-layer `CharGRU`.

    Args:
        vocab_size: number of tokens in the vocabulary.
        embedding_dim: size of a token's embedding.
        hidden_size: size of the hidden state.

    Source: fast.ai deep learning course, lesson 6 (CharSeqStatefulGRU and the code of GRUCell); 247,144
    parameters at 56 tokens.
    """

    def __init__(self, *, vocab_size: int, embedding_dim: Positive = 42, hidden_size: Positive = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.cell = GRUCell(embedding_dim, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map tokens (T, B) and a state (B, H) to logits (T, B, V) and the next state."""
        embedded = self.embedding(tokens)  # (T, B, E)
        hidden = embedded.new_zeros(tokens.shape[1], self.out.in_features) if state is None else state
        outputs: list[Tensor] = []
        for x in embedded:  # (B, E), one time step
            hidden = self.cell(x, hidden)  # (B, H)
            outputs.append(hidden)
        return self.out(torch.stack(outputs)), hidden
