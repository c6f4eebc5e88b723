"""Several processes of a training, each a thread of this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

from zoo.distributed.ranks import Ranks

T = TypeVar("T")


class _Thread(Ranks):
    """A rank that finds the numbers of the others in a list."""

    def __init__(self, rank: int, sent: list[Tensor | None], barrier: Barrier) -> None:
        super().__init__(rank, len(sent), len(sent))
        self._sent, self._barrier = sent, barrier

    def all_reduce(self, values: Tensor, op: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
        self._sent[self.rank] = values.clone()
        self._barrier.wait(60)
        first, *others = [tensor for tensor in self._sent if tensor is not None]
        assert {tensor.shape for tensor in others} == {first.shape}
        for other in others:
            first = first + other if op == dist.ReduceOp.SUM else first.maximum(other)
        self._barrier.wait(60)
        return values.copy_(first)


def in_threads(world_size: int, of_one: Callable[[Ranks], T]) -> list[T]:
    """Return what a function returns for each of so many ranks, which run at the same time."""
    sent: list[Tensor | None] = [None] * world_size
    barrier = Barrier(world_size)
    with ThreadPoolExecutor(world_size) as threads:
        return [*threads.map(of_one, [_Thread(rank, sent, barrier) for rank in range(world_size)])]
