"""A model that reads a bounded number of tokens at once, made to read a text of any length."""

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
    """Return the most tokens that the model behind a card reads from an empty state on; 0 is any."""
    return registry.architecture(card.architecture).spec.context(card.arguments)


def windowed(model: nn.Module, length: int) -> nn.Module:
    """Return a model that reads a text of any length: `model` itself, unless `length` is not 0."""
    return Windowed(model, length) if length else model


def long_enough(batches: Iterable[Batch], length: int) -> Iterator[Batch]:
    """Yield batches of tokens (T, B), those that follow each other joined to at least half of `length`.

    A model without a state reads half a window again for each of them.
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
    """A language model in evaluation mode that never reads more than `length` tokens from an empty state on.

    Its own state holds the last `length` tokens, how many of them the model's state has seen, and that state.

    - A model without a state (it returns None) reads half a window of new ones at a time, after the half
      before them; a token that comes alone, as in sampling, after as many as fit.
    - A model with a state, such as the keys and values of a Transformer, reads on from it. Once the window is
      full, it starts from an empty state with the last half of it.

    Either way the cost grows linearly with the text.

    Args:
        length: most tokens from an empty state on, `ArchitectureSpec.context_length`.
    """

    def __init__(self, model: nn.Module, length: int) -> None:
        super().__init__()
        self.model = model
        self.length = length
        self.stride = length - length // 2

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Map tokens (T, B) and a state to logits (T, B, V) and the state after them."""
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
        """Return the logits of the last tokens and the state; one half of the lanes at a time if need be."""
        try:
            logits, inner, *_ = self.model(tokens, inner)
            return logits[-last:], inner
        except TooLarge:
            if inner is not None or tokens.shape[1] == 1:
                raise
        halves: list[Any] = [self._read(lanes, None, last) for lanes in tokens.chunk(2, 1)]
        if any(inner is not None for _, inner in halves):
            raise TooLarge("more than it may for a whole window")
        return torch.cat([logits for logits, _ in halves], 1), None
