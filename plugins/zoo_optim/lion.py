"""Lion, an optimizer whose steps have the same size for every weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Subtract the learning rate times the sign of a momentum from each weight.

    Lion keeps one tensor per weight tensor, half of what Adam keeps. Its steps are larger than Adam's, so it
    needs a learning rate that is 3 to 10 times lower, and a weight decay that is higher by the same factor.

    Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675, algorithm 2.

    Args:
        beta2: decay rate of the momentum.
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        beta2: Annotated[float, Meta(ge=0, lt=1)] = 0.99,
    ) -> None:
        betas = (momentum, beta2)
        super().__init__(map(dict, groups), {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; return what `closure` returns, if given."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                momentum: Tensor = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                weight.mul_(1 - lr * group["weight_decay"])
                weight.sub_(momentum.lerp(weight.grad, 1 - beta1).sign_(), alpha=lr)
                momentum.lerp_(weight.grad, 1 - beta2)
        return loss
