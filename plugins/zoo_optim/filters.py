"""Muon for the filters of convolutions, whose layers are read as matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class MuonFilters(torch.optim.Optimizer):
    """Muon with each layer of filters as a matrix of (out, in × height × width).

    Before a step, the filters of a layer are scaled to the norm sqrt(out), so that the learning rate is the
    part of them that a step can change. A normalization layer after the convolution undoes the scale.

    Source: Jordan 2024, https://github.com/KellerJordan/cifar10-airbench, airbench94_muon.

    Args:
        params: groups of filters (out, in, ...).
        lr: learning rate, the size of a step relative to the filters.
        momentum: decay rate of the running average of gradients.
        nesterov: use Nesterov momentum.
        ns_steps: number of Newton-Schulz iterations.
    """

    def __init__(self, params: Any, *, lr: float, momentum: float, nesterov: bool, ns_steps: int) -> None:
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "filter_steps": ns_steps}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step, without effect on the filters if the rate is 0; return what `closure` returns."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for filters in group["params"]:
                if (gradient := filters.grad) is None:
                    continue
                if not self.state[filters]:
                    self.state[filters]["momentum_buffer"] = torch.zeros_like(gradient)
                average = self.state[filters]["momentum_buffer"]
                average.lerp_(gradient, 1 - group["momentum"])
                direction = gradient.lerp(average, group["momentum"]) if group["nesterov"] else average
                if group["lr"]:
                    filters.mul_(len(filters) ** 0.5 / filters.norm().clamp(min=1e-7))
                    update = orthogonal(direction.flatten(1), group["filter_steps"])
                    filters.sub_(update.view_as(filters), alpha=group["lr"])
        return loss


def orthogonal(matrix: Tensor, steps: int) -> Tensor:
    """Return nearly the nearest orthogonal matrix, by Newton-Schulz iterations.

    The coefficients are those of Muon. They lift small singular values fast, and leave all of them between
    about 0.7 and 1.2.
    """
    wide = matrix if len(matrix) <= len(matrix.T) else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        square = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return wide if len(matrix) <= len(matrix.T) else wide.T
