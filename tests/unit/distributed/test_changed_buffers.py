"""Buffers that a model changes as it trains are the same in all processes after each step."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.unit.distributed.in_threads import in_threads
from zoo.distributed.buffers import ChangedBuffers
from zoo.distributed.ranks import Ranks
from zoo.distributed.synced_norm import synced_norms


class Odd(nn.Module):
    """Has buffers of several types, and a layer that has some."""

    mean: Tensor
    wave: Tensor
    count: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, 2.0]))
        self.register_buffer("wave", torch.tensor([1j]))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("mask", torch.tensor([0.1, -torch.inf]))
        self.norm = nn.BatchNorm1d(2)


def reduced(*steps: Callable[[Odd, int], object], synced: bool = False) -> list[dict[str, Tensor]]:
    """Return the buffers of three processes that take steps, and average after each."""
    whole = Odd()

    def of_one(ranks: Ranks) -> dict[str, Tensor]:
        model = copy.deepcopy(whole)
        model.mask += ranks.rank  # which nobody notices, as it is before training
        with synced_norms(model, ranks, wanted=synced):
            buffers = ChangedBuffers(model, ranks)
            for step in steps:
                step(model, ranks.rank)
                buffers.all_reduce()
        return dict(model.named_buffers())

    return in_threads(3, of_one)


def test_they_become_the_mean_and_integers_those_of_the_first_process() -> None:
    def step(model: Odd, rank: int) -> None:
        model.mean += rank
        model.wave += 3j * rank
        model.count += 7 + rank
        if rank == 2:  # alone, and by another tensor
            model.norm.running_mean = torch.tensor([3.0, 6.0])

    for found in reduced(step, step):
        assert found["mean"].tolist() == [3.0, 4.0]
        assert found["wave"].tolist() == [7j]
        assert found["count"].item() == 14
        assert torch.allclose(found["norm.running_mean"], torch.tensor([5 / 3, 10 / 3]))


def test_what_has_not_changed_is_left_alone() -> None:
    """Nor are the statistics of the whole batch sent, which are the same everywhere."""

    def step(model: Odd, rank: int) -> None:
        model.mean += rank
        assert model.norm.running_mean is not None
        model.norm.running_mean += rank

    for rank, found in enumerate(reduced(step, step, synced=True)):
        assert torch.equal(found["mask"], torch.tensor([0.1, -torch.inf]) + rank)
        assert found["norm.running_mean"].tolist() == [2 * rank, 2 * rank]
        assert found["mean"].tolist() == [3.0, 4.0]
