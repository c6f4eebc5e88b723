"""A decoder-only Transformer in the style of GPT-2, with a cache of keys and values.

Shapes: B texts of T tokens, in zoo (T, B) and here (B, T); S tokens so far, including these; H hidden units.
"""

from typing import Annotated, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError

Size = Annotated[int, Meta(ge=1, le=16_384)]
Share = Annotated[float, Meta(ge=0, lt=1)]


class Cache(NamedTuple):
    """The state after some tokens: their keys and values in each layer.

    The tensor is allocated for a whole context, and each call writes its own tokens into it, so that no call
    copies earlier tokens. Only the latest state can be continued.

    Attributes:
        entries: keys and values, (layers, 2, B, heads, context, H / heads).
        position: number of tokens in the cache.
    """

    entries: Tensor
    position: int


class Attention(nn.Module):
    """Add up the values of all tokens so far, weighted by how well their keys match the token's query.

    Queries and keys are normalized, so that no token gets all of the weight early in training (Henry et al.
    2020, "Query-Key Normalization for Transformers", arXiv 2010.04245).
    """

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, cached: Tensor | None, start: int) -> Tensor:
        """Map (B, T, H) to (B, T, H), and write into `cached`, (2, B, heads, context, H / heads)."""
        split = self.project(x).unflatten(2, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, heads, T, H / heads)
        query, key = F.rms_norm(query, query.shape[-1:]), F.rms_norm(key, key.shape[-1:])
        tokens, mask = x.shape[1], None
        if cached is not None:
            cached[:, :, :, start : start + tokens] = torch.stack((key, value)).detach()
            if start:
                key, value = cached[:, :, :, : start + tokens]  # each (B, heads, S, H / heads)
        if start and tokens > 1:  # which see the tokens in the cache, and those before them in this call
            mask = torch.ones(tokens, start + tokens, dtype=torch.bool, device=x.device).tril(start)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=not start)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention between tokens, then an MLP for each token; each adds its result to its input."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(size), Attention(size, heads, dropout)
        self.norm2, self.dropout = nn.LayerNorm(size), nn.Dropout(dropout)
        self.up, self.down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Tensor, cached: Tensor | None, start: int) -> Tensor:
        """Map (B, T, H) to (B, T, H)."""
        x = x + self.dropout(self.attention(self.norm1(x), cached, start))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    """Embeddings of tokens and positions, blocks, and a linear layer with the weights of the token embedding.

    What a block adds to its input is 0 before training, so that deep networks begin as shallow ones (Zhang et
    al. 2019, "Fixup Initialization", arXiv 1901.09321).

    Args:
        context: maximum number of tokens that the model can read, since each position is learned.

    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: Size = 128,
        num_layers: Annotated[int, Meta(ge=1, le=100)] = 4,
        num_heads: Size = 4,
        context: Size = 128,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise OptionError(f"hidden_size={hidden_size} must be a multiple of num_heads={num_heads}")
        self.room = (num_heads, context, hidden_size // num_heads)
        self.tokens = nn.Embedding(vocab_size, hidden_size)
        self.positions = nn.Embedding(context, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, vocab_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        for name, parameter in self.named_parameters():
            if name.endswith(("bias", "out.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache | None]:
        """Map tokens (T, B) and a state to logits (T, B, V) and the next state; training needs no state."""
        start = state.position if state else 0
        stop = start + len(tokens)
        x = self.tokens(tokens.T) + self.positions(torch.arange(start, stop, device=tokens.device))
        x = self.dropout(x)  # (B, T, H)
        entries = state.entries if state else None
        if entries is None and not self.training:
            entries = x.new_zeros(len(self.blocks), 2, len(x), *self.room)
        for layer, block in enumerate(self.blocks):
            x = block(x, None if entries is None else entries[layer], start)
        logits = self.head(self.norm(x.transpose(0, 1)))  # (T, B, V)
        return logits, None if entries is None else Cache(entries, stop)
