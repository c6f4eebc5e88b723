"""The optimizers available in a training configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config.train_config import TrainConfig

# What each optimizer keeps for a parameter: a tensor of its shape, or the number of its steps
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
SLOTS: Mapping[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: _MOMENTS,
    torch.optim.AdamW: _MOMENTS,
}


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the configured optimizer for all parameters that require a gradient.

    The learning rate of a parameter group is the scheduled rate multiplied by the group's `scale`;
    `TrainState.update` sets it.

    SGD uses Nesterov momentum (Sutskever et al. 2013); Adam couples weight decay with the gradient, and AdamW
    does not (Loshchilov & Hutter 2019).
    """
    groups = _by_depth(model, config.layer_decay)
    if config.norm_bias_lr_scale != 1:
        groups = _split_off_norm_biases(groups, model, config)
    lr, momentum, decay = config.lr, config.momentum, config.weight_decay
    devices = {p.device.type if _is_plain(p) else "other" for group in groups for p in group["params"]}
    if config.optimizer == "sgd":
        # On the CPU, torch's fused SGD is wrong for half precision (pytorch/pytorch#191763)
        sgd = fused_sgd if devices == {"cuda"} else torch.optim.SGD
        return sgd(groups, lr=lr, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
    adam = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    # On Apple's GPU, torch's fused kernels take the steps that fp16 has to skip
    fused = devices <= ({"cpu", "cuda"} if config.precision == "fp16" else {"cpu", "cuda", "mps"})
    # None rather than False lets torch choose among the kernels that are not fused
    return adam(groups, lr=lr, betas=(momentum, 0.999), weight_decay=decay, fused=fused or None)


def fused_sgd(groups: list[dict[str, Any]], **given: Any) -> torch.optim.SGD:
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


def _is_plain(parameter: Tensor) -> bool:
    """Return whether fused kernels can update a parameter: they require dense memory."""
    like = torch.empty_like(parameter, device="meta")  # dense, in the same order of dimensions
    return parameter.is_floating_point() and like.stride() == parameter.stride()


def _by_depth(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: one per layer with layer-wise learning-rate decay, otherwise a single group.

    The layers are the model's children in definition order; each entry of a Sequential or ModuleList is a
    separate layer, and parameters of the model itself belong to the last layer. Sources: the lesson on
    differential learning rates; Clark et al. 2020, "ELECTRA", arXiv 2003.10555.
    """
    layers = list(_layers(model)) if decay != 1 else []
    seen: set[nn.Parameter] = set()
    groups: list[dict[str, Any]] = []
    for number, layer in enumerate([*layers, model], start=1):
        own = [p for p in layer.parameters() if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            groups.append({"params": own, "scale": decay ** max(len(layers) - number, 0)})
    return groups


def _split_off_norm_biases(
    groups: list[dict[str, Any]], model: nn.Module, config: TrainConfig
) -> list[dict[str, Any]]:
    """Split off the biases of normalization layers, which use a different learning rate.

    Layers with one weight per channel, or without weights, count as normalization layers. With SGD and AdamW,
    the weight decay per step stays the same. Source: Jordan 2024, arXiv 2404.00498, section 3.4.
    """
    factor = config.norm_bias_lr_scale
    biases = {
        module.bias
        for module in model.modules()
        if isinstance(getattr(module, "bias", None), nn.Parameter)
        and (getattr(module, "weight", None) is None or module.weight.ndim == 1)
    }
    apart: list[dict[str, Any]] = []
    for group in groups:
        slow = [p for p in group["params"] if p not in biases]
        fast = [p for p in group["params"] if p in biases]
        decay = config.weight_decay / factor
        apart.append(group | {"params": slow})
        apart.append(group | {"params": fast, "scale": group["scale"] * factor, "weight_decay": decay})
    return [group for group in apart if group["params"]]


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    for child in model.children():
        parts = child if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        yield from (part for part in parts if any(True for _ in part.parameters()))
