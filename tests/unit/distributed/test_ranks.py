"""What several processes of a training send to each other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.distributed.in_threads import in_threads
from zoo.distributed.ranks import Ranks
from zoo.distributed.sharding import lane_dims
from zoo.errors import SpecError
from zoo.interfaces import make_task
from zoo.registry.registry import Registry


def test_gradients_are_added_up_whatever_their_layout() -> None:
    """One process has them in the order of the weights, and the other in that of their dimensions."""
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(2, 8, 4, 3, 3, generator=generator)
    lines = torch.randn(2, 5, 6, generator=generator)

    def add_up(ranks: Ranks) -> list[torch.Tensor | None]:
        layout = (torch.channels_last, torch.contiguous_format)[ranks.rank]
        kernel = nn.Parameter(torch.empty(8, 4, 3, 3).to(memory_format=torch.channels_last))
        kernel.grad = filters[ranks.rank].clone(memory_format=layout)
        exact, unused = nn.Parameter(torch.empty(5, 6, dtype=torch.float64)), nn.Parameter(torch.empty(2))
        exact.grad = lines[ranks.rank].double() if ranks.rank else None
        frozen = nn.Parameter(torch.empty(2), requires_grad=False)
        ranks.all_reduce_gradients([kernel, frozen, exact, unused])
        return [kernel.grad, exact.grad, unused.grad]

    for kernel, exact, unused in in_threads(2, add_up):
        assert kernel is not None
        assert exact is not None
        assert torch.equal(kernel, (filters[0].double() + filters[1].double()).float())
        assert torch.equal(exact, lines[1].double())
        assert unused is None


class Folding(nn.Module):
    """A language model whose state has a row for each head of each lane, or none for any."""

    def __init__(self, *shapes: Callable[[int], tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, tokens: Tensor, state: object) -> tuple[Tensor, list[Tensor]]:
        lanes = tokens.shape[1]
        return torch.zeros(*tokens.shape, 4), [torch.zeros(shape(lanes)) for shape in self.shapes]


TWO: Any = SimpleNamespace(world_size=2)


def test_the_lanes_of_each_part_of_a_state_are_found() -> None:
    task = make_task(Registry.discover(), "language-modeling")
    model = Folding(lambda lanes: (lanes, 3), lambda lanes: (1, lanes, 2), lambda lanes: (5,))
    assert lane_dims(model, task, device="cpu", ranks=TWO) == [0, 1, None]


@pytest.mark.parametrize(
    "shape", [lambda lanes: (2 * lanes, 3), lambda lanes: (lanes, lanes), lambda lanes: (1,) * lanes]
)
def test_a_state_that_processes_cannot_divide_is_refused(shape: Callable[[int], tuple[int, ...]]) -> None:
    task = make_task(Registry.discover(), "language-modeling")
    with pytest.raises(SpecError, match="so it cannot be split across processes"):
        lane_dims(Folding(shape), task, device="cpu", ranks=TWO)
