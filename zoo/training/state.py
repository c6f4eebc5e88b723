"""All that training changes, in one place: what a checkpoint holds, no more and no less."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import WeightsError
from zoo.interfaces import State, Step
from zoo.models.precision import Precision
from zoo.registry.specs import Recipe
from zoo.training.averaging import ema_decay, even_decay, move_average, triggered
from zoo.training.optimizers import make_optimizer

__all__ = ["TrainState"]


@dataclass(slots=True, kw_only=True)
class TrainState:
    """The model and everything beside it that moves."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: nn.Module | None
    """The weights' average along the way, once there is one."""
    averaged_from: int = 0
    """Optimizer steps done before the first that an even average counts."""
    epoch: int = 0
    """Whole epochs done."""
    batch: int = 0
    """Batches done of the epoch under way."""
    steps: int = 0
    """Optimizer steps done."""
    carried: State = None
    """What the model carries from batch to batch."""
    sums: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    count: int = 0
    """Sums and count over the epoch under way."""
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """One row for each epoch done."""

    @classmethod
    def begin(cls, model: nn.Module, recipe: Recipe, *, precision: Precision, device: str) -> TrainState:
        """Return the state before the first step."""
        return cls(
            model=model,
            optimizer=make_optimizer(model, recipe),
            scaler=torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16"),
            average=_copy(model) if recipe.ema else None,
        )

    @property
    def best(self) -> nn.Module:
        """The model to judge and to keep: the averaged one where there is one."""
        return self.average or self.model

    def account(self, step: Step) -> None:
        """Add one batch to the epoch's sums, in double precision and on the device."""
        for name, value in step.sums.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += step.count
        self.carried = step.state
        self.batch += 1

    def update(self, recipe: Recipe, lr: float) -> str:
        """Take one optimizer step with the gradients there are, then move the average.

        Returns what is not finite, a gradient or a weight, or nothing. With such a gradient no step is taken;
        in fp16, where that may happen, the scaler sees to it.
        """
        parameters: list[Tensor] = []
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["scale"]
            parameters += group["params"]
        self.scaler.unscale_(self.optimizer)
        if recipe.clip_norm:
            norm = nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        else:
            norm = nn.utils.get_total_norm(each.grad for each in parameters if each.grad is not None)
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            return "a gradient"
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.scaler.get_scale() < scale:  # a gradient overflowed in fp16, and the step was skipped
            return ""
        self.steps += 1
        if not math.isfinite(nn.utils.get_total_norm(parameters)):
            return "a weight"
        if self.average is not None:
            even = even_decay(self.steps - self.averaged_from)
            move_average(self.average, self.model, ema_decay(recipe.ema, self.steps) if recipe.ema else even)
        return ""

    def end_epoch(self, row: dict[str, Any], recipe: Recipe) -> None:
        """Note an epoch's row and begin the next, averaging from here on where the recipe says so."""
        self.history.append(row)
        if recipe.average_patience and self.average is None:
            start = triggered(self.history, recipe.average_patience)
            if start is not None:
                self.average, self.averaged_from = _copy(self.model), start
        self.epoch += 1
        self.begin_epoch_anew()

    def capture(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and JSON data from which `restore` makes the same state."""
        tensors = _without_ties("model/", self.model)
        if self.average is not None:
            tensors |= _without_ties("average/", self.average)
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{number}/{key}": value for key, value in slots.items() if value is not None
            }
        tensors |= {f"sums/{name}": value for name, value in self.sums.items()}
        skeleton = _flatten(self.carried, "carried", tensors)
        names = ("epoch", "batch", "steps", "count", "averaged_from")
        position = {name: getattr(self, name) for name in names}
        data = {"position": position, "history": self.history, "carried": skeleton}
        return tensors, data | {"scaler": self.scaler.state_dict()}

    def begin_epoch_anew(self) -> None:
        """Forget how far the epoch under way is; weights and optimizer stay as they are."""
        self.batch = 0
        self.carried = None
        self.sums = {}
        self.count = 0

    def restore(self, tensors: Mapping[str, Tensor], data: Mapping[str, Any], *, device: str) -> None:
        """Become the state that was captured. Raises WeightsError where it does not fit this model."""
        try:
            self._restore({name: tensor.to(device) for name, tensor in tensors.items()}, data)
        except (AttributeError, KeyError, RuntimeError, ValueError, TypeError) as error:
            first = str(error).split("\n")[0]
            raise WeightsError(f"the checkpoint does not fit this model: {first}") from error

    def _restore(self, tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> None:
        self.model.load_state_dict(_complete(_under("model/", tensors), self.model))
        average = _under("average/", tensors)
        if self.average is None and average:
            self.average = _copy(self.model)
        if self.average is not None:
            self.average.load_state_dict(_complete(average, self.average))
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer/", tensors).items():
            number, _, key = name.partition("/")
            slots.setdefault(int(number), {})[key] = _laid_out_as(parameters[int(number)], tensor)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self.scaler.load_state_dict(data["scaler"])
        self.sums = _under("sums/", tensors)
        self.carried = _unflatten(data["carried"], tensors)
        self.history = list(data["history"])
        for name, value in data["position"].items():
            setattr(self, name, value)


def _copy(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).requires_grad_(False)


def _laid_out_as(parameter: Tensor, slot: Tensor) -> Tensor:
    """Return a slot with its parameter's strides: fused optimizers walk both in the order of memory."""
    if slot.shape != parameter.shape:
        return slot
    return torch.empty_like(parameter, dtype=slot.dtype).copy_(slot)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _without_ties(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state under prefixed names, each tied weight once."""
    first: dict[int, str] = {}
    return {
        prefix + name: tensor.detach()
        for name, tensor in module.state_dict(keep_vars=True).items()
        if first.setdefault(id(tensor), name) == name
    }


def _complete(tensors: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Give every tied name the tensor that is stored under its first one."""
    first: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        stored = first.setdefault(id(tensor), name)
        if name not in tensors and stored in tensors:
            tensors[name] = tensors[stored]
    return tensors


def _flatten(state: State, name: str, tensors: dict[str, Tensor]) -> Any:
    """Put a carried state's tensors under names, and return its shape as JSON."""
    if isinstance(state, Tensor):
        tensors[name] = state
        return name
    if isinstance(state, tuple | list):
        parts = [_flatten(part, f"{name}.{index}", tensors) for index, part in enumerate(state)]
        return {"tuple" if isinstance(state, tuple) else "list": parts}
    if state is None:
        return None
    raise TypeError(f"a model carries a {type(state).__name__}; state is None, a tensor, or tuples of them")


def _unflatten(skeleton: Any, tensors: Mapping[str, Tensor]) -> State:
    if skeleton is None:
        return None
    if isinstance(skeleton, str):
        return tensors[skeleton]
    ((kind, parts),) = skeleton.items()
    built = [_unflatten(part, tensors) for part in parts]
    return tuple(built) if kind == "tuple" else built
