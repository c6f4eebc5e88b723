"""Let a model with a limited context read a text of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zoo.files.cards import Card
from zoo.interfaces import Batch, State
from zoo.models.hooks import TooLarge
from zoo.registry.registry import Registry


def context_of(card: Card, registry: Registry) -> int:
    """Return how many tokens a card's model can read from an empty state; 0 for no limit."""
    return registry.architecture(card.architecture).spec.context(card.arguments)


def windowed(model: nn.Module, length: int) -> nn.Module:
    """Return a model that reads a text of any length: `model` itself if `length` is 0."""
    return Windowed(model, length) if length else model


def long_enough(batches: Iterable[Batch], length: int) -> Iterator[Batch]:
    """Yield batches of tokens (T, B); join consecutive batches that are shorter than half of `length`.

    For each batch, a model without a state rereads half a window.
    """
    held: Batch | None = None
    for batch in batches:
        if held is not None and (batch.fresh or 2 * len(held.inputs) >= length):
            yield held
            held = None
        if held is not None:
            inputs, targets = torch.cat([held.inputs, batch.inputs]), torch.cat([held.targets, batch.targets])
            batch = replace(batch, inputs=inputs, targets=targets, fresh=held.fresh)
        held = batch
    if held is not None:
        yield held


class Windowed(nn.Module):
    """A language model in evaluation mode that never reads more than `length` tokens from an empty state.

    Its state consists of the last `length` tokens, the number of these tokens that the model's state covers,
    and the model's state.

    - A model without a state (it returns None) reads half a window of new tokens at a time, preceded by the
      half window before them; a single token, as in sampling, is preceded by as many tokens as fit.
    - A model with a state, such as the keys and values of a Transformer, continues from it. Once the window
      is full, it starts from an empty state with the last half of the window.

    In both cases, the cost grows linearly with the length of the text.

    Args:
        length: maximum number of tokens from an empty state, `ArchitectureSpec.context_length`.
    """

    def __init__(self, model: nn.Module, length: int) -> None:
        super().__init__()
        self.model = model
        self.length = length
        self.stride = length - length // 2

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Map tokens (T, B) and a state to logits (T, B, V) and the next state."""
        seen, inside, inner = (tokens[:0], 0, None) if state is None else state
        alone = len(tokens) == 1
        logits: list[Tensor] = []
        while len(tokens):
            if inner is not None and inside < self.length:
                new, again = tokens[: self.length - inside], tokens[:0]
            else:
                new = tokens[: self.stride if len(seen) else self.length]
                most = self.length - 1 if inner is None and alone else self.length // 2
                kept = min(len(seen), most, self.length - len(new))
                inside, inner, again = 0, None, seen[len(seen) - kept :]
            answer, inner = self._read(torch.cat([again, new]), inner, len(new))
            logits.append(answer)
            inside += len(again) + len(new)
            seen, tokens = torch.cat([seen, new])[-self.length :], tokens[len(new) :]
        return torch.cat(logits), (seen, inside, inner)

    def _read(self, tokens: Tensor, inner: State, last: int) -> tuple[Tensor, State]:
        """Return the logits of the last tokens and the state; split the batch in half if necessary."""
        try:
            logits, inner, *_ = self.model(tokens, inner)
            return logits[-last:], inner
        except TooLarge:
            if inner is not None or tokens.shape[1] == 1:
                raise
        halves: list[Any] = [self._read(lanes, None, last) for lanes in tokens.chunk(2, 1)]
        if any(inner is not None for _, inner in halves):
            raise TooLarge("a whole window would need too much memory")
        return torch.cat([logits for logits, _ in halves], 1), None
