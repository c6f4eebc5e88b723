"""Make the configured optimizer and its parameter groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from zoo.config.train_config import TrainConfig
from zoo.errors import OptionError, SpecError
from zoo.registry.methods import bound
from zoo.training.freezing import parameters_named

Groups = list[dict[str, Any]]


@runtime_checkable
class SwitchesWeights(Protocol):
    """An optimizer that does not evaluate the weights that it trains, such as schedule-free SGD."""

    def train(self) -> None:
        """Set the parameters to the weights to train; called before the first step."""

    def eval(self) -> None:
        """Set the parameters to the weights to evaluate."""


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the configured optimizer for all parameters that require a gradient.

    The learning rate of a parameter group is the scheduled rate multiplied by the group's `scale`;
    `TrainState.update` sets it. An optimizer that switches weights is ready to train.

    Raises OptionError if such an optimizer is combined with another average of the weights.
    """
    groups = _by_depth(model, config.layer_decay)
    if config.norm_bias_lr_scale != 1:
        groups = _split_off_norm_biases(groups, model, config)
    for name, factor in config.lr_scales.items():
        chosen = parameters_named(model, name, what="lr_scales")
        groups = _split_off(groups, chosen, lambda group, by=factor: {"scale": group["scale"] * by})
    if config.decay_matrices_only:
        vectors = {parameter for parameter in model.parameters() if parameter.ndim < 2}
        groups = _split_off(groups, vectors, lambda _: {"weight_decay": 0.0})
    made = bound(config, "optimizer", model=model)(groups)
    if not isinstance(made, torch.optim.Optimizer):
        got = type(made).__name__
        raise SpecError(f"optimizer {config.optimizer} must return a torch.optim.Optimizer (got a {got})")
    closure = inspect.signature(made.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        message = f"optimizer {config.optimizer} computes the loss several times in a step, through a closure"
        raise SpecError(f"{message}, which zoo does not support")
    if isinstance(made, SwitchesWeights):
        for name in ("ema_decay", "nonmono"):
            if value := getattr(config, name):
                averaging = f"optimizer {config.optimizer}, which averages the weights itself"
                raise OptionError(f"{name}={value} cannot be combined with {averaging}; set {name}=0")
        made.train()
    return made


def slots_of(model: nn.Module, config: TrainConfig) -> dict[int, dict[str, Any]]:
    """Return the state that the configured optimizer keeps for each parameter, by the parameter's number.

    The state is that of a new optimizer after a step with zero gradients at a learning rate of 0, which does
    not change the model.
    """
    optimizer = make_optimizer(model, config)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return optimizer.state_dict()["state"]


def _by_depth(model: nn.Module, decay: float) -> Groups:
    """Return parameter groups: one per layer with layer-wise learning-rate decay, otherwise a single group.

    The layers are the model's children in definition order; each entry of a Sequential or ModuleList is a
    separate layer, and parameters of the model itself belong to the last layer. Sources: the lesson on
    differential learning rates; Clark et al. 2020, "ELECTRA", arXiv 2003.10555.
    """
    layers = list(_layers(model)) if decay != 1 else []
    seen: set[nn.Parameter] = set()
    groups: Groups = []
    for number, layer in enumerate([*layers, model], start=1):
        own = [p for p in layer.parameters() if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            groups.append({"params": own, "scale": decay ** max(len(layers) - number, 0)})
    return groups


def _split_off_norm_biases(groups: Groups, model: nn.Module, config: TrainConfig) -> Groups:
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
    decay = config.weight_decay / factor
    return _split_off(groups, biases, lambda group: {"scale": group["scale"] * factor, "weight_decay": decay})


def _split_off(
    groups: Groups, chosen: Collection[object], change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Groups:
    """Split the chosen parameters off each group, into a group with some changes."""
    apart: Groups = []
    for group in groups:
        rest = [p for p in group["params"] if p not in chosen]
        some = [p for p in group["params"] if p in chosen]
        apart += [group | {"params": rest}, group | change(group) | {"params": some}]
    return [group for group in apart if group["params"]]


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    for child in model.children():
        parts = child if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        yield from (part for part in parts if any(True for _ in part.parameters()))
