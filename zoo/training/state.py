"""The training state: everything that training changes and a checkpoint stores."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config.train_config import TrainConfig
from zoo.errors import SpecError, WeightsError
from zoo.interfaces import State, Step
from zoo.models.finite import infinite_buffers, not_finite
from zoo.models.precision import Precision, exact, on_device
from zoo.models.recurrent import flattened
from zoo.models.states import detach
from zoo.models.ties import untied, with_ties
from zoo.training.averaging import triggered
from zoo.training.optimizers import SwitchesWeights, make_optimizer, slots_of
from zoo.training.saved import TENSOR, Position, SavedState
from zoo.training.saved_hidden_state import leaves_of


@dataclass(slots=True, kw_only=True)
class TrainState:
    """The model and everything else that training changes.

    Attributes:
        average: the average of the weights, if any: a running average, or that of the optimizer.
        averaged_from: number of optimizer steps before an equal-weight average starts.
        epoch: number of epochs done.
        batch: number of batches done in the current epoch.
        steps: number of optimizer steps.
        seconds: training time of the current epoch so far.
        infinite: names of buffers that are not finite when the model is built, and may stay non-finite.
        context: maximum number of tokens that the model reads from an empty state; 0 for no limit.
        carried: the hidden state carried from batch to batch; None if `context` is not 0.
        count: number of items in `sums`, which cover the current epoch.
        history: one row per finished epoch, perhaps after that of the starting weights, epoch 0.
        shapes: names and shapes of the optimizer's state after the first step, by parameter.
        untried: whether the restored sums and hidden state have not yet been checked by a step.
    """

    config: TrainConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: nn.Module | None
    precision: Precision = "fp32"
    device: str = "cpu"
    infinite: frozenset[str] = frozenset()
    context: int = 0
    averaged_from: int = 0
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    seconds: float = 0.0
    carried: State = None
    sums: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    count: int = 0
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    shapes: dict[int, dict[str, torch.Size]] = field(default_factory=dict[int, dict[str, torch.Size]])
    untried: bool = False

    @classmethod
    def begin(
        cls,
        model: nn.Module,
        config: TrainConfig,
        *,
        precision: Precision,
        device: str,
        context: int = 0,
    ) -> TrainState:
        """Return the state before the first step."""
        optimizer = make_optimizer(model, config)
        averaged = config.ema_decay or isinstance(optimizer, SwitchesWeights)
        return cls(
            config=config,
            model=model,
            optimizer=optimizer,
            scaler=torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16"),
            average=_copy(model) if averaged else None,
            precision=precision,
            device=device,
            infinite=infinite_buffers(model),
            context=context,
        )

    @property
    def best(self) -> nn.Module:
        """The model to evaluate and to save: the averaged model, if there is one."""
        return self.average or self.model

    @property
    def where(self) -> str:
        """The last finished batch, counted from 1, for messages."""
        return f"epoch {self.epoch + 1}, batch {self.batch}"

    def account(self, step: Step) -> None:
        """Add one batch to the epoch's sums, in double precision and on the device.

        Raises SpecError if the hidden state has an unsupported part, and ValueError if the sums from a
        checkpoint have other names or shapes.
        """
        if self.untried and self.sums.keys() != step.sums.keys():
            raise ValueError(f"its sums are {', '.join(self.sums)} (expected {', '.join(step.sums)})")
        for name, value in step.sums.items():
            value, before = exact(value), self.sums.get(name)
            if before is not None and before.shape != value.shape:
                raise ValueError(f"sums/{name} has shape {[*before.shape]} (expected {[*value.shape]})")
            self.sums[name] = value if before is None else before + value
        self.count += step.count
        self.carried = None if self.context else detach(step.state)
        self.batch += 1
        self.untried = False

    def take_average(self) -> None:
        """Copy the weights to evaluate into `average`, if the optimizer switches weights.

        The weights in training keep their bits, although switching to others and back may round.
        """
        if self.average is None or not isinstance(self.optimizer, SwitchesWeights):
            return
        trained = copy.deepcopy(self.model.state_dict())
        self.optimizer.eval()
        self.average.load_state_dict(self.model.state_dict())
        self.optimizer.train()
        self.model.load_state_dict(trained)

    def end_epoch(self, row: dict[str, Any], config: TrainConfig) -> None:
        """Record an epoch's row, start averaging if `nonmono` triggers it, and begin the next epoch."""
        self.history.append(row)
        if config.nonmono and self.average is None:
            start = triggered(self.history, config.nonmono)
            if start is not None:
                self.average, self.averaged_from = _copy(self.model), start
        self.epoch += 1
        self.seconds = 0.0
        self.restart_epoch()

    def capture(self) -> tuple[dict[str, Tensor], SavedState]:
        """Return the state as tensors and data, for `restore`."""
        tensors = {f"model/{name}": value for name, value in untied(self.model).items()}
        if self.average is not None:
            tensors |= {f"average/{name}": value for name, value in untied(self.average).items()}
        tensors |= self.slots()
        tensors |= {f"sums/{name}": value for name, value in self.sums.items()}
        leaves = leaves_of(self.carried)
        carried: Any = [TENSOR if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        tensors |= {f"carried/{n}": leaf for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        position = Position(**{name: getattr(self, name) for name in Position.__struct_fields__})
        scaler: Any = self.scaler.state_dict() or None
        history: Any = [*self.history]
        return tensors, SavedState(position=position, history=history, carried=carried, scaler=scaler)

    def slots(self) -> dict[str, Tensor]:
        """Return the optimizer's state.

        Raises SpecError if it cannot be stored, or if a parameter's state has new names or shapes since the
        first step, because `restore` could not restore it.
        """
        state = self.optimizer.state_dict()["state"]
        slots = {number: _slots_of(number, values) for number, values in state.items() if values}
        for number, tensors in slots.items():
            shapes = {name: tensor.shape for name, tensor in tensors.items()}
            if changed := shapes.items() ^ self.shapes.setdefault(number, shapes).items():
                name = min(changed)[0].rpartition("/")[2]
                raise SpecError(
                    f"optimizer {self.config.optimizer} changed its state {name!r} after the first step",
                    hint="an optimizer must create its whole state, with the final shapes, in its first step",
                )
        return {name: tensor for tensors in slots.values() for name, tensor in tensors.items()}

    def restart_epoch(self) -> None:
        """Restart the current epoch; weights and optimizer state do not change."""
        self.batch = 0
        self.carried = None
        self.sums = {}
        self.count = 0
        self.untried = False

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        saved: SavedState,
        *,
        device: str,
    ) -> None:
        """Restore a captured state.

        The hidden state becomes a flat list of its parts, which only a step can nest; see
        `zoo.training.saved_hidden_state`.

        Raises WeightsError, before changing anything, if the captured state does not match this model.
        """
        kept = slots_of(self.model, self.config) if _under("optimizer/", tensors) else {}
        self._require_fit(tensors, saved, kept)
        slots: dict[int, dict[str, Any]] = {}
        for name, tensor in _under("optimizer/", tensors).items():
            number, _, key = name.partition("/")
            like = kept[int(number)][key]  # on its device, and with its strides, which fused optimizers need
            value = like.copy_(tensor) if isinstance(like, Tensor) else type(like)(tensor.item())
            slots.setdefault(int(number), {})[key] = value
        tensors = {
            name: on_device(tensor, device)
            for name, tensor in tensors.items()
            if not name.startswith("optimizer/")
        }
        self.model.load_state_dict(with_ties(_under("model/", tensors), self.model))
        if average := _under("average/", tensors):
            self.average = self.average or _copy(self.model)
            self.average.load_state_dict(with_ties(average, self.average))
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self.scaler.load_state_dict(dict(saved.scaler or {}))
        self.sums = _under("sums/", tensors)
        leaves: Any = saved.carried
        self.carried = [
            tensors[f"carried/{n}"] if leaf == TENSOR else leaf for n, leaf in enumerate(leaves)
        ] or None
        self.history = [dict(row) for row in saved.history]
        for name in Position.__struct_fields__:
            setattr(self, name, getattr(saved.position, name))
        self.untried = self.batch > 0

    def _require_fit(
        self, tensors: Mapping[str, Tensor], saved: SavedState, kept: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """Raise WeightsError unless the tensors match this state at the saved position.

        The sums and the hidden state can only be checked by a step; see `fit`.
        """
        model = {f"model/{name}": tensor for name, tensor in untied(self.model).items()}
        expected = dict(model)
        if self.average is not None or _under("average/", tensors):
            expected |= {name.replace("model/", "average/", 1): tensor for name, tensor in model.items()}
        for number, values in kept.items():
            slots = _slots_of(number, values)
            expected |= slots if slots.keys() & tensors.keys() else {}
        sums = {name for name in tensors if name.startswith("sums/")}
        within = sums | _carried_names(saved) if saved.position.batch else set[str]()
        missing = sorted((expected.keys() | within) - tensors.keys())
        extra = sorted(tensors.keys() - expected.keys() - within)
        if missing or extra:
            raise _misfit(f"{missing[0]} is missing" if missing else f"unexpected {extra[0]}")
        for name, tensor in expected.items():
            there, here = ((t.dtype, [*t.shape]) for t in (tensors[name], tensor))
            if there != here:
                raise _misfit(f"{name} is {there[0]} {there[1]} (expected {here[0]} {here[1]})")
        infinite = {f"{copy}/{name}" for copy in ("model", "average") for name in self.infinite}
        if name := not_finite(tensors, infinite | _carried_names(saved)):
            raise WeightsError(f"the checkpoint is damaged: {name} has values that are not finite")
        for name, tensor in _under("optimizer/", tensors).items():
            if name.endswith("/step") and not 0 <= tensor.item() <= saved.position.steps:
                raise _misfit(
                    f"its optimizer took {tensor.item():,} steps, but training took {saved.position.steps:,}"
                )
        if self.scaler.is_enabled() and saved.scaler is None:
            raise _misfit("it has no loss scale, which fp16 requires")


def _copy(model: nn.Module) -> nn.Module:
    return flattened(copy.deepcopy(model)).requires_grad_(False)


def _slots_of(number: int, values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state that an optimizer keeps for a parameter as tensors.

    Raises SpecError for a value that is neither a tensor nor a number.
    """
    slots: dict[str, Tensor] = {}
    for key, value in values.items():
        if not isinstance(value, Tensor | int | float | None):
            raise SpecError(
                f"the optimizer keeps a {type(value).__name__} as {key!r}, not a tensor or a number",
                hint="an optimizer may keep tensors and numbers in self.state[parameter]",
            )
        if value is not None:
            tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
            slots[f"optimizer/{number}/{key}"] = tensor
    return slots


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _carried_names(saved: SavedState) -> set[str]:
    """Return the names of the tensors in the hidden state."""
    return {f"carried/{n}" for n, leaf in enumerate(saved.carried) if leaf == TENSOR}


def _misfit(why: str) -> WeightsError:
    return WeightsError(f"the checkpoint does not match this model: {why}")
