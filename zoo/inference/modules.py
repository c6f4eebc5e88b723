"""A torch module as a reader of tokens."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from zoo.inference.readers import Numbers, Read, Tokens
from zoo.interfaces import State
from zoo.models.hooks import evaluating
from zoo.models.recurrent import SingleSteps
from zoo.models.windows import windowed

__all__ = ["ModuleReader"]


class ModuleReader:
    """A language model that reads in evaluation mode, without gradients.

    Args:
        context: most tokens that the model reads from an empty state on; 0 is any. See `zoo.models.windows`.
    """

    def __init__(self, model: nn.Module, *, context: int = 0, device: str = "cpu") -> None:
        self._model = windowed(model, context)
        self._device = device

    @contextmanager
    def reading(self) -> Generator[Read]:
        """Yield a function that reads tokens; gradients are off only while it runs."""
        single, first = SingleSteps(), True

        @torch.inference_mode()
        def read(tokens: Tokens, state: State) -> tuple[Numbers, State]:
            nonlocal first
            with single if first or single.found else nullcontext():
                logits, state = self._model(torch.from_numpy(tokens).to(self._device), state)  # (T, B, V)
            first = False
            return logits[-1].cpu().double().numpy(), state

        with evaluating(self._model):
            yield read
