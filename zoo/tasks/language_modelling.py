"""Language modelling: a text cut into lanes, predict the next token, carry the state along.

The text is cut into `batch_size` lanes of equal length, read side by side. A batch is the next `bptt` tokens
of every lane, and the hidden state that the last batch ended with is where the next one starts: truncated
backpropagation through time. Targets are the inputs shifted by one::

    text    a b c d e f g h i j k l m        lanes  a b c d e f    targets  b c d e f g
                                                    g h i j k l             h i j k l m
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import DataError
from zoo.interfaces import Batch, Dataset, Split, State, Step, Task
from zoo.seeds import seed_for
from zoo.specs import Recipe, TaskName

__all__ = ["LanguageModelling", "detach"]

_EVAL_LANES = 16
_EVAL_STEPS = 128


class LanguageModelling(Task):
    """Predict each token from all before it."""

    name: ClassVar[TaskName] = "language-modelling"
    unit: ClassVar[str] = "characters"
    headline: ClassVar[str] = "loss"

    def train_batches(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
    ) -> Iterator[Batch]:
        """Yield (T, B) chunks of the lanes in reading order; rank r reads its own share of the lanes."""
        tokens = dataset.split("train")
        inputs, targets = _lanes(tokens, recipe.batch_size * world)
        mine = slice(rank * recipe.batch_size, (rank + 1) * recipe.batch_size)
        borders = _borders(inputs.shape[1], recipe, seed_for(seed, "lengths", epoch))
        for index in range(start, len(borders) - 1):
            here = slice(borders[index], borders[index + 1])
            yield Batch(
                _column(inputs[mine, here], device),
                _column(targets[mine, here], device),
                index,
                len(borders) - 1,
                seed_for(seed, "step", epoch, index, rank),
                fresh=index == 0,
            )

    def eval_batches(self, dataset: Dataset, split: Split, *, device: str = "cpu") -> Iterator[Batch]:
        """Yield a split so that every token but the very first is predicted once.

        The text is read in 16 lanes, whatever the recipe, so that a figure does not depend on the batch
        size a model was trained with. What is left over is read as one more, short lane.
        """
        tokens = dataset.split(split)
        if len(tokens) == 0:
            return
        if len(tokens) < 2:
            raise DataError(f"the {split} split has one token, and predicting needs two")
        inputs, targets = _lanes(tokens, min(_EVAL_LANES, len(tokens) - 1))
        whole = inputs.numel()
        spare = tokens[whole:]  # at least the last target
        starts = range(0, inputs.shape[1], _EVAL_STEPS)
        total = len(starts) + (len(spare) > 1)
        for index, first in enumerate(starts):
            here = slice(first, first + _EVAL_STEPS)
            batch = _column(inputs[:, here], device), _column(targets[:, here], device)
            yield Batch(*batch, index, total, 0, fresh=index == 0)
        if len(spare) > 1:
            yield Batch(
                _column(spare[None, :-1], device), _column(spare[None, 1:], device), total - 1, total, 0, True
            )

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, label_smoothing: float = 0.0
    ) -> Step:
        """Return cross-entropy in nats per token and the state to carry on with."""
        logits, state = model(batch.inputs, None if batch.fresh else state)  # (T, B, V)
        loss = F.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), label_smoothing=label_smoothing
        )
        count = batch.targets.numel()
        return Step(loss, {"loss": loss.detach() * count}, count, detach(state))

    def metrics(self, sums: Mapping[str, float], count: int) -> dict[str, float]:
        """Return loss in nats per token, the same in bits, and perplexity."""
        loss = sums["loss"] / count
        return {"loss": loss, "bits_per_char": loss / math.log(2), "perplexity": math.exp(min(loss, 700.0))}


def detach(state: State) -> State:
    """Cut a state from the graph that made it, so that gradients stop here."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple | list):
        return type(state)(detach(part) for part in state)  # pyright: ignore[reportUnknownVariableType]
    return state


def _lanes(tokens: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as (count, length) views of the text; nothing is copied."""
    length = (len(tokens) - 1) // count
    if length < 1:
        fewer = f", or --train batch_size={max(1, (len(tokens) - 1) // 2)} or less" if len(tokens) > 1 else ""
        raise DataError(
            f"the text has {len(tokens):,} tokens, too few to be cut into {count} lanes",
            hint=f"use a longer text{fewer}",
        )
    return tokens[: count * length].view(count, length), tokens[1 : count * length + 1].view(count, length)


def _borders(length: int, recipe: Recipe, seed: int) -> list[int]:
    """Return where chunks begin and end; with jitter they are around bptt long, at times half of it."""
    if not recipe.bptt_jitter:
        return [*range(0, length, recipe.bptt), length]
    generator = torch.Generator().manual_seed(seed)
    count = math.ceil(length / max(1, min(5, recipe.bptt)))
    middle = torch.where(torch.rand(count, generator=generator) < 0.95, 1.0, 0.5) * recipe.bptt
    lengths = (middle + 5 * torch.randn(count, generator=generator)).long().clamp(min=min(5, recipe.bptt))
    ends = lengths.cumsum(0)
    return [0, *ends[ends < length].tolist(), length]


def _column(lanes: Tensor, device: str) -> Tensor:
    """(B, T) of a small integer type to (T, B) of int64 on the device."""
    return lanes.T.to(device, torch.int64)
