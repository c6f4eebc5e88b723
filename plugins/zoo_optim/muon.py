"""Muon for the hidden matrices of a model and optionally its filters, and AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import nn

from zoo import OptionError
from zoo_optim.filters import MuonFilters

Groups = list[dict[str, Any]]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


def muon(
    groups: Groups,
    *,
    model: nn.Module,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool = True,
    ns_steps: Annotated[int, Meta(ge=1, le=100_000)] = 5,
    adjust_lr_fn: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
    filters: bool = False,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.95,
) -> torch.optim.Optimizer:
    """Return an optimizer that updates hidden matrices with torch's Muon, and the other weights with AdamW.

    Muon replaces the momentum of a matrix with the nearest orthogonal matrix, so that a step changes all
    directions equally. Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; Liu et al.
    2025, "Muon is Scalable for LLM Training", arXiv 2502.16982, for one learning rate for both.

    Args:
        nesterov: use Nesterov momentum for Muon.
        ns_steps: number of Newton-Schulz iterations, which approximate the orthogonal matrix.
        adjust_lr_fn: how the learning rate of a matrix depends on its size: `match_rms_adamw` makes steps as
            large as those of AdamW; `original` makes them larger for matrices with more rows than columns.
        filters: update the filters of convolutions with Muon, too. A step is then relative to their size,
            so that much higher learning rates are usual, such as 0.24.
        beta1: decay rate of AdamW's running average of gradients.
        beta2: decay rate of AdamW's running average of squared gradients.

    If all of the matrices are frozen, AdamW trains what is left.

    Raises OptionError if the model has no hidden matrices.
    """
    matrices = hidden_matrices(model)
    convolved = {p for p in model.parameters() if p.ndim > 2} if filters else set()
    hidden = _only(groups, lambda parameter: parameter in matrices)
    banks = _only(groups, lambda parameter: parameter in convolved)
    others = _only(groups, lambda parameter: parameter not in matrices | convolved)
    if not matrices | convolved:
        raise OptionError(
            "optimizer=muon requires hidden matrices, but this model has none",
            hint="embeddings and the last layer do not count; convolutions do with "
            "--optimizer-option filters=true",
        )
    steps: dict[str, Any] = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
    parts: dict[str, torch.optim.Optimizer] = {}
    if hidden:
        adjust = adjust_lr_fn
        parts["ns_steps"] = torch.optim.Muon(hidden, lr, weight_decay, adjust_lr_fn=adjust, **steps)
    if banks:
        parts["filter_steps"] = MuonFilters(banks, lr=lr, **steps)
    if others:
        parts["betas"] = torch.optim.AdamW(others, lr, (beta1, beta2), weight_decay=weight_decay)
    return _Together(parts)


def hidden_matrices(model: nn.Module) -> set[nn.Parameter]:
    """Return the two-dimensional parameters of a model, except embeddings and the last linear layer."""
    outside = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    outside |= {module.weight for module in linear[-1:]}
    return {parameter for parameter in model.parameters() if parameter.ndim == 2} - outside


def _only(groups: Iterable[dict[str, Any]], wanted: Callable[[nn.Parameter], bool]) -> Groups:
    """Return groups with only the wanted parameters, without empty groups."""
    some = [group | {"params": [p for p in group["params"] if wanted(p)]} for group in groups]
    return [group for group in some if group["params"]]


class _Together(torch.optim.Optimizer):
    """Several optimizers as one, each by a key that only its own parameter groups have."""

    def __init__(self, parts: Mapping[str, torch.optim.Optimizer]) -> None:
        self._parts = parts
        super().__init__([group for part in parts.values() for group in part.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step with each; return what `closure` returns, if given."""
        loss = None if closure is None else closure()
        for key, part in self._parts.items():
            part.param_groups = [group for group in self.param_groups if key in group]
            part.state = self.state  # which load_state_dict replaces, as it does the groups
            part.step()
        return loss
