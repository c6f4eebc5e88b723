"""The stateful GRU of the fast.ai lesson."""

from __future__ import annotations

from torch import Tensor, nn

from zoo_charrnn.options import Positive, Share


class CharGRU(nn.Module):
    """Embedding, GRU layers, and a linear layer back to the vocabulary.

    Args:
        vocab_size: number of tokens in the vocabulary.
        embedding_dim: size of a token's embedding.
        hidden_size: size of each layer's hidden state.
        num_layers: number of GRU layers.
        dropout: dropout probability between layers.

    Source: fast.ai deep learning course, lesson 6 (CharSeqStatefulGRU); 247,144 parameters at 56 tokens.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: Positive = 42,
        hidden_size: Positive = 256,
        num_layers: Positive = 1,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.gru = nn.GRU(embedding_dim, hidden_size, num_layers, dropout=between)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map tokens (T, B) and a state (layers, B, H) to logits (T, B, V) and the next state."""
        x = self.embedding(tokens)  # (T, B, E)
        x, state_after = self.gru(x, state)  # (T, B, H), (layers, B, H)
        return self.out(x), state_after
