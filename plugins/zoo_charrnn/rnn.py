"""The stateful RNN of the fast.ai lesson."""

from __future__ import annotations

from torch import Tensor, nn

from zoo_charrnn.identity import start_as_identity
from zoo_charrnn.options import Init, Nonlinearity, Positive, Share


class CharRNN(nn.Module):
    """Embedding, RNN layers, and a linear layer back to the vocabulary.

    Args:
        vocab_size: number of tokens in the vocabulary.
        embedding_dim: size of a token's embedding.
        hidden_size: size of each layer's hidden state.
        num_layers: number of RNN layers.
        dropout: dropout probability between layers.
        nonlinearity: activation function of the hidden state; with `relu`, the state is unbounded.
        init: `identity` initializes each recurrent matrix as the identity.

    Source: fast.ai deep learning course, lesson 6 (CharSeqStatefulRnn); 93,544 parameters at 56 tokens.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: Positive = 42,
        hidden_size: Positive = 256,
        num_layers: Positive = 1,
        dropout: Share = 0.0,
        nonlinearity: Nonlinearity = "tanh",
        init: Init = "default",
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.rnn = nn.RNN(embedding_dim, hidden_size, num_layers, nonlinearity, dropout=between)
        self.out = nn.Linear(hidden_size, vocab_size)
        if init == "identity":
            start_as_identity(self.rnn)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map tokens (T, B) and a state (layers, B, H) to logits (T, B, V) and the next state."""
        x = self.embedding(tokens)  # (T, B, E)
        x, state_after = self.rnn(x, state)  # (T, B, H), (layers, B, H)
        return self.out(x), state_after
