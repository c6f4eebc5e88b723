"""Adam and AdamW."""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta

from zoo.config.train_config import Fraction
from zoo.training.fused_kernels import Groups, devices

Positive = Annotated[float, Meta(gt=0)]


def adam(
    groups: Groups,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    precision: str,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
) -> torch.optim.Adam:
    """Return Adam, which adds weight decay to the gradient (Kingma & Ba 2015).

    Args:
        beta2: decay rate of the running average of squared gradients.
        eps: number added to the denominator of each step.
    """
    betas, fused = (momentum, beta2), _fused(groups, precision)
    return torch.optim.Adam(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def adamw(
    groups: Groups,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    precision: str,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
) -> torch.optim.AdamW:
    """Return AdamW, Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    The options are those of `adam`.

    Args:
        beta2: decay rate of the running average of squared gradients.
        eps: number added to the denominator of each step.
    """
    betas, fused = (momentum, beta2), _fused(groups, precision)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def _fused(groups: Groups, precision: str) -> bool | None:
    """Return whether to use torch's fused kernel for Adam; None lets torch choose among the others."""
    # On Apple's GPU, torch's fused kernels take the steps that fp16 must skip
    return devices(groups) <= ({"cpu", "cuda"} if precision == "fp16" else {"cpu", "cuda", "mps"}) or None
