"""A sequence read from an empty state on, some tokens at a time. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

from zoo.models.runners import Arrays, Runner, Tokens

__all__ = ["stretches"]

# Tokens that are read at a time, or more for a model that reads half of its window again each time
_STEPS = 128


def stretches(runner: Runner, tokens: Tokens) -> Iterator[Arrays]:
    """Yield the outputs after each of some tokens (N,), in stretches (T, ...)."""
    size, state = max(_STEPS, runner.context), None
    with runner.reading() as step:
        for start in range(0, len(tokens), size):
            outputs, state = step(tokens[start : start + size, None], state)
            yield {name: output[:, 0] for name, output in outputs.items()}
