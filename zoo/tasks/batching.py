"""Three ways to cut a text into batches, in the order the lesson finds them.

A text `a b c d e f g h i j k l m` and `bptt` 3::

    windows     abc -> d   bcd -> e   cde -> f ...     one prediction a window; each character is read 3 times
    sections    abc -> bcd   def -> efg   ghi -> hij   one at each position, each character read once
    stateful    abc|def -> bcd|efg  with 2 lanes:      the same, and what comes next goes on from the state
                ghi|jkl -> hij|klm                     that the batch before it ended with

Windows and sections come in a new order each epoch and start from a state of zeros. Lanes are read from front
to back; cutting the gradient at each border is truncated backpropagation through time (Williams & Peng 1990).
All lanes are equally long, so that a carried state always fits: the fewer than `batch_size` tokens left over
at the end of the text are not trained on, nor are those after the last whole section.

Source: fast.ai deep learning course, lesson 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.registry.specs import Recipe
from zoo.seeds import seed_for

__all__ = ["Cut", "cut", "cut_lanes"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch of text, lanes first."""

    inputs: Tensor
    """(B, T)"""
    targets: Tensor
    """(B, T), or (B, 1) where only the last position predicts."""
    index: int
    total: int
    fresh: bool
    """Whether the state starts from zeros."""


def cut(
    tokens: Tensor, recipe: Recipe, *, seed: int, epoch: int, start: int, rank: int = 0, world: int = 1
) -> Iterator[Cut]:
    """Yield an epoch's batches of a text (N,) from number `start` on, as `recipe.batching` says.

    Raises DataError for a text too short for its lanes, or not longer than `bptt`.
    """
    if len(tokens) < 2:
        raise DataError(f"the text has {len(tokens)} tokens, and predicting needs two")
    if len(tokens) <= recipe.bptt:
        raise DataError(
            f"bptt is {recipe.bptt:,}, and the text has {len(tokens):,} tokens",
            hint=f"use a longer text, or --train bptt={len(tokens) - 1} or less",
        )
    if recipe.batching == "stateful":
        return _stateful(tokens, recipe, seed_for(seed, "lengths", epoch), start, rank, world)
    if recipe.batching == "sections":
        inputs, targets = cut_lanes(tokens, (len(tokens) - 1) // recipe.bptt, recipe.bptt)
    else:
        inputs = tokens[:-1].unfold(0, recipe.bptt, 1)  # (N - bptt, bptt): a view
        targets = tokens[recipe.bptt :, None]
    generator = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
    order = torch.randperm(len(inputs), generator=generator)[: len(inputs) // world * world][rank::world]
    if len(order) == 0:
        raise DataError(f"the text makes {len(inputs)} {recipe.batching}, too few for {world} processes")
    return _shuffled(inputs, targets, order, recipe.batch_size, start)


def cut_lanes(tokens: Tensor, count: int, length: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as (count, length) views of the text's beginning; nothing is copied."""
    used = count * length
    return tokens[:used].view(count, length), tokens[1 : used + 1].view(count, length)


def _stateful(tokens: Tensor, recipe: Recipe, seed: int, start: int, rank: int, world: int) -> Iterator[Cut]:
    count = recipe.batch_size * world
    length = (len(tokens) - 1) // count
    if length < 1:
        fits = max(1, (len(tokens) - 1) // 2 // world)
        raise DataError(
            f"the text has {len(tokens):,} tokens, too few to be cut into {count} lanes",
            hint=f"use a longer text, or --train batch_size={fits} or less",
        )
    inputs, targets = cut_lanes(tokens, count, length)
    mine = slice(rank * recipe.batch_size, (rank + 1) * recipe.batch_size)
    borders = _borders(length, recipe, seed)
    for index in range(start, len(borders) - 1):
        here = slice(borders[index], borders[index + 1])
        yield Cut(inputs[mine, here], targets[mine, here], index, len(borders) - 1, fresh=index == 0)


def _shuffled(inputs: Tensor, targets: Tensor, order: Tensor, size: int, start: int) -> Iterator[Cut]:
    total = math.ceil(len(order) / size)
    for index in range(start, total):
        chosen = order[index * size : (index + 1) * size]
        yield Cut(inputs[chosen], targets[chosen], index, total, fresh=True)


def _borders(length: int, recipe: Recipe, seed: int) -> list[int]:
    """Return where a lane's chunks begin and end; with jitter they are around bptt long, at times half of it.

    Source: the loader of AWD-LSTM (Merity et al. 2018, section 5) and of the lesson.
    """
    if not recipe.bptt_jitter:
        return [*range(0, length, recipe.bptt), length]
    generator = torch.Generator().manual_seed(seed)
    count = math.ceil(length / max(1, min(5, recipe.bptt)))
    middle = torch.where(torch.rand(count, generator=generator) < 0.95, 1.0, 0.5) * recipe.bptt
    lengths = (middle + 5 * torch.randn(count, generator=generator)).long().clamp(min=min(5, recipe.bptt))
    ends = lengths.cumsum(0)
    return [0, *ends[ends < length].tolist(), length]
