"""The stateful RNN with an explicit loop over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_charrnn.identity import start_as_identity
from zoo_charrnn.options import Init, Nonlinearity, Positive


class CharRNNCell(nn.Module):
    """Embedding, an RNN cell called once per time step, and a linear layer back to the vocabulary.

    With the same weights, its outputs equal those of a one-layer `CharRNN`.

    Args:
        vocab_size: number of tokens in the vocabulary.
        embedding_dim: size of a token's embedding.
        hidden_size: size of the hidden state.
        nonlinearity: activation function of the hidden state; with `relu`, the state is unbounded.
        init: `identity` initializes the recurrent matrix as the identity.

    Source: fast.ai deep learning course, lesson 6 (CharSeqStatefulRnn2); 93,544 parameters at 56 tokens.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: Positive = 42,
        hidden_size: Positive = 256,
        nonlinearity: Nonlinearity = "tanh",
        init: Init = "default",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.cell = nn.RNNCell(embedding_dim, hidden_size, nonlinearity=nonlinearity)
        self.out = nn.Linear(hidden_size, vocab_size)
        if init == "identity":
            start_as_identity(self.cell)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map tokens (T, B) and a state (B, H) to logits (T, B, V) and the next state."""
        hidden = state
        outputs: list[Tensor] = []
        for x in self.embedding(tokens):  # (B, E), one time step
            hidden = self.cell(x, hidden)  # (B, H)
            outputs.append(hidden)
        return self.out(torch.stack(outputs)), outputs[-1]
