"""Shuffle items that are stored in shards, so that a reader needs only a few shards at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zoo.errors import SpecError

# The items of at least so many shards, and at least so many items, are shuffled together
_SHARDS, _ITEMS = 4, 4_096


def shard_order(lengths: Sequence[int], count: int, draws: torch.Generator) -> Tensor:
    """Return the indices of an epoch, (N,): shards in random order, and the items of a few of them shuffled.

    Args:
        lengths: the number of items in each shard, in the order of the items.
        count: the number of items, N.

    Raises SpecError if the lengths do not add up to N.
    """
    ends, parts = [*itertools.accumulate(lengths)], list[Tensor]()
    if sum(lengths) != count:
        raise SpecError(f"shard_lengths must add up to {count:,}, the number of items (got {sum(lengths):,})")
    for group in _groups(torch.randperm(len(lengths), generator=draws).tolist(), lengths):
        items = torch.cat([torch.arange(ends[shard] - lengths[shard], ends[shard]) for shard in group])
        parts.append(items[torch.randperm(len(items), generator=draws)])
    return torch.cat(parts)


def _groups(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    group: list[int] = []
    for shard in order:
        group.append(shard)
        if len(group) >= _SHARDS and sum(lengths[each] for each in group) >= _ITEMS:
            yield group
            group = []
    if group:
        yield group
