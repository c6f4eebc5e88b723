"""minGRU: a recurrent network whose gates do not depend on the state, so training can be parallel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_charrnn.options import Positive, Share
from zoo_charrnn.scan import scan


class MinGRU(nn.Module):
    """One layer: h_t = (1 - z_t) h_(t-1) + z_t c_t, where z and c are computed from the input alone.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv 2410.01201, section 3.1.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(size, size)
        self.candidate = nn.Linear(size, size)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Map x (T, B, H) and a state (B, H) to the states after every time step, (T, B, H), in fp32."""
        gate = self.gate(x).float()  # fp32, and so is all that follows
        new = gate.sigmoid() * self.candidate(x)
        return scan((-gate).sigmoid(), new, hidden)


class Block(nn.Module):
    """A minGRU over time and an MLP for each time step, both with residual connections."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.rnn = MinGRU(size)
        self.mlp = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (T, B, H) and a state (B, H) to outputs (T, B, H) and the next state."""
        states = self.rnn(self.norm(x), hidden)
        x = x + self.dropout(states.to(x.dtype))
        return x + self.dropout(self.mlp(x)), states[-1]


class CharMinGRU(nn.Module):
    """Embedding, residual minGRU blocks, and a linear layer back to the vocabulary.

    Args:
        vocab_size: number of tokens in the vocabulary.
        hidden_size: size of a token's embedding and of each block's hidden state.
        num_layers: number of blocks.
        dropout: dropout probability of each residual branch.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv 2410.01201. The paper computes the recurrence
    in log space, which loses precision for longer texts; `scan` does not use log space.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: Positive = 256,
        num_layers: Positive = 4,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(
        self, tokens: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map tokens (T, B) and a state, (B, H) per block, to logits (T, B, V) and the next state."""
        x = self.embedding(tokens)  # (T, B, H)
        zeros = torch.zeros_like(x[0])
        ends: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            x, end = block(x, state[number] if state else zeros)
            ends.append(end)
        return self.out(self.norm(x)), tuple(ends)
