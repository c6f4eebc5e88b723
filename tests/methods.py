"""A one-file plugin with optimizers and losses for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from zoo import MetricSpec, OptimizerSpec, hookimpl


class ScheduleFreeSGD(torch.optim.Optimizer):
    """Schedule-free SGD: Defazio et al. 2024, "The Road Less Scheduled", arXiv 2405.15682.

    In training, the parameters are y, between z, the weights of SGD, and x, their average, which is to be
    evaluated. As in the authors' package, x is not stored but computed from y and z, which rounds.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "training": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            assert group["training"], "train() was not called"
            lr, beta = group["lr"], group["momentum"]
            for y in group["params"]:
                if y.grad is None:
                    continue
                state = self.state[y]
                if not state:
                    state.update(z=y.clone(), total=0.0)
                state["total"] += lr**2
                share = lr**2 / state["total"] if lr else 0.0
                y.lerp_(state["z"], share).add_(y.grad, alpha=lr * (beta * (1 - share) - 1))
                state["z"].sub_(y.grad, alpha=lr)

    def train(self) -> None:
        self._switch(training=True)

    def eval(self) -> None:
        self._switch(training=False)

    @torch.no_grad()
    def _switch(self, *, training: bool) -> None:
        for group in self.param_groups:
            weight = 1 - group["momentum"] if training else 1 - 1 / group["momentum"]
            for parameter in group["params"] if group["training"] != training else ():
                if state := self.state[parameter]:
                    parameter.lerp_(state["z"], weight)
            group["training"] = training


class Tripled(torch.optim.SGD):
    """SGD that evaluates three times the weights."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, lr=lr)
        self._factor = 1

    def train(self) -> None:
        self._become(1)

    def eval(self) -> None:
        self._become(3)

    @torch.no_grad()
    def _become(self, factor: int) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(factor / self._factor)
        self._factor = factor


def plain(groups: Iterable[dict[str, Any]], *, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(groups, lr=lr)


class Reversed:
    """A cross-entropy with the wrong sign."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        classes_second = outputs.movedim(-1, 1)  # also (T, V, B) of a text
        return -functional.cross_entropy(classes_second, targets, reduction="none")


class Likelihood(Reversed):
    """An honest loss that is negative: the probability of the target, times -1."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -super().losses(outputs, targets).exp()


@hookimpl
def zoo_metrics() -> list[MetricSpec]:
    targets = {"reversed": "Reversed", "likelihood": "Likelihood"}
    return [MetricSpec(name=name, target=f"methods:{targets[name]}", summary="A loss") for name in targets]


@hookimpl
def zoo_optimizers() -> list[OptimizerSpec]:
    targets = {"schedule-free": "ScheduleFreeSGD", "tripled": "Tripled", "plain": "plain"}
    return [OptimizerSpec(name=name, target=f"methods:{targets[name]}", summary="SGD") for name in targets]
