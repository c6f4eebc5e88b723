"""Let a model that was trained on windows or sections predict each token from the tokens just before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.interfaces import State

# Tokens that are read at a time
TOKENS = 4096


class Reread(nn.Module):
    """A language model that predicts each token from exactly `length` tokens, read from an empty state.

    Before the first `length` - 1 tokens of a text there are fewer. The state consists of the tokens that the
    next window begins with, so the cost of a token is that of reading `length` tokens.

    Args:
        length: number of tokens in a window, at least 1.
    """

    def __init__(self, model: nn.Module, length: int) -> None:
        super().__init__()
        self.model = model
        self.length = length

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Map tokens (T, B) and a state to logits (T, B, V) and the next state."""
        before = tokens[:0] if state is None else state
        text = torch.cat([before, tokens])
        logits: list[Tensor] = []
        if len(before) < self.length - 1:
            start, *_ = self.model(text[: self.length - 1], None)
            logits.append(start[len(before) :])
        if len(text) >= self.length:
            windows = text.unfold(0, self.length, 1)  # (W, B, length)
            for part in windows.split(max(1, TOKENS // (self.length * text.shape[1]))):
                answers, *_ = self.model(part.permute(2, 0, 1).flatten(1), None)  # (length, W * B, V)
                logits.append(answers[-1].unflatten(0, part.shape[:2]))
        return torch.cat(logits), text[max(0, len(text) - self.length + 1) :]
