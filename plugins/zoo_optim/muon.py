"""Muon for the hidden matrices of a model, and AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import nn

from zoo import OptionError

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
        beta1: decay rate of AdamW's running average of gradients.
        beta2: decay rate of AdamW's running average of squared gradients.

    Raises OptionError if the model has no hidden matrices to train.
    """
    matrices = hidden_matrices(model)
    hidden = _only(groups, lambda parameter: parameter in matrices)
    others = _only(groups, lambda parameter: parameter not in matrices)
    if not hidden:
        raise OptionError(
            "optimizer=muon requires trainable hidden matrices, but this model has none",
            hint="convolutions, embeddings and the last layer do not count; use --optimizer adamw",
        )
    first = torch.optim.Muon(
        hidden,
        lr=lr,
        weight_decay=weight_decay,
        momentum=momentum,
        nesterov=nesterov,
        ns_steps=ns_steps,
        adjust_lr_fn=adjust_lr_fn,
    )
    betas = (beta1, beta2)
    second = torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay) if others else None
    return _Together(first, second)


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
    """Two optimizers as one, with the parameter groups and the state of both."""

    def __init__(self, muon: torch.optim.Muon, adamw: torch.optim.AdamW | None) -> None:
        self._muon, self._adamw = muon, adamw
        super().__init__([*muon.param_groups, *(adamw.param_groups if adamw else ())], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step with both; return what `closure` returns, if given."""
        loss = None if closure is None else closure()
        for part in filter(None, (self._muon, self._adamw)):
            own = [group for group in self.param_groups if ("ns_steps" in group) == (part is self._muon)]
            part.param_groups, part.state = own, self.state  # which load_state_dict replaces
            part.step()
        return loss
