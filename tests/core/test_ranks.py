"""What several processes of a training send to each other."""

from __future__ import annotations

import torch
from torch import nn

from tests.core.in_threads import in_threads
from zoo.distributed.ranks import Ranks


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
