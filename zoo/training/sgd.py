"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import torch

from zoo.training.fused_kernels import Groups, devices


def sgd(
    groups: Groups, *, lr: float, momentum: float, weight_decay: float, nesterov: bool = True
) -> torch.optim.SGD:
    """Return SGD with momentum (Sutskever et al. 2013).

    Args:
        nesterov: use Nesterov momentum.
    """
    # On the CPU, torch's fused SGD is wrong for half precision (pytorch/pytorch#191763)
    make = fused_sgd if devices(groups) == {"cuda"} else torch.optim.SGD
    nesterov = nesterov and momentum > 0
    return make(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)


def fused_sgd(groups: Groups, **given: Any) -> torch.optim.SGD:
    """Return fused SGD with momentum buffers initialized to zero, which does not change the result.

    Otherwise, the momentum buffers would be uninitialized if fp16 skips the first step, and torch would fail
    if one weight receives its first gradient later than the others.
    """
    optimizer = torch.optim.SGD(groups, **given, fused=True)
    if given["momentum"]:
        optimizer.register_step_pre_hook(_begin_momentum)
    return optimizer


def _begin_momentum(optimizer: torch.optim.Optimizer, *_: object) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and "momentum_buffer" not in optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
