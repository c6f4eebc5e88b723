"""The optimizers a recipe may name."""

from __future__ import annotations

import torch
from torch import nn

from zoo.specs import Recipe

__all__ = ["make_optimizer"]


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over all parameters that require a gradient.

    SGD uses Nesterov momentum (Sutskever et al. 2013); Adam couples weight decay with the gradient, AdamW
    does not (Loshchilov & Hutter 2019).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    betas = (recipe.momentum, 0.999)
    return kind(parameters, lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay, fused=fused)
