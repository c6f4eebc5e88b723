"""Use the optimizer, schedule, augmentation or metric under check, the same way every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.train_config import TrainConfig, fields_of
from zoo.data.draws import Draws
from zoo.errors import SpecError, ZooError
from zoo.evaluation.measure import numbers
from zoo.evaluation.metrics import asked
from zoo.interfaces import Batch, CarriesState, Dataset, LossFunction, Metric, Task, make_task
from zoo.registry.methods import own_options
from zoo.testing._case import Case, Skip, failing
from zoo.testing._models import model_for
from zoo.testing._tasks import as_outputs
from zoo.training.readings import Readings
from zoo.training.schedules import make_schedule
from zoo.training.state import TrainState
from zoo.training.step import update_weights

_EPOCHS = 12
POSITIONS = [_EPOCHS * step / 100 for step in range(101)]
# Metrics that improve once, and then do not
HISTORY = [
    {split: {"loss": loss, "accuracy": 1 - loss / 4} for split in ("train", "val")}
    for loss in (2.0, 1.0, *[1.5] * (_EPOCHS - 2))
]


def scored(case: Case, options: Mapping[str, Any] | None = None) -> Iterator[tuple[Task, Any, Tensor, Batch]]:
    """Yield each task that a metric is for, with the metric, random outputs, and a batch of tiny data.

    Raises Skip if the form of the outputs is unknown for all of them.
    """
    unknown = ""
    for name in case.spec.tasks or [*case.registry.tasks]:
        task = make_task(case.registry, name)
        data = task.spec.load_tiny()()
        batch = next(task.eval_batches(data, "val"))
        try:
            shape = _output_shape(case, task, data, batch)
        except Skip as skip:
            unknown = str(skip)
            continue
        outputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        yield task, case.entry.make(options or {}, object, flag="--metric-option"), outputs, batch
        unknown = ""
    if unknown and len(case.spec.tasks) == 1:
        raise Skip(unknown)


def _output_shape(case: Case, task: Task, data: Dataset, batch: Batch) -> tuple[int, ...]:
    """Return the shape of a model's outputs. Raises Skip if there is no model whose outputs would show it."""
    if task.spec.labels is None:
        with torch.no_grad():
            return tuple(model_for(case.registry, task.spec, data.dims).eval()(batch.inputs).shape)
    if batch.targets.is_floating_point():
        return tuple(batch.targets.shape)
    first, *others = batch.targets.shape
    size = data.dims[task.spec.labels[0]]
    return (first, *others, size) if isinstance(task, CarriesState) else (first, size, *others)


def right_and_wrong(task: Task, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor] | None:
    """Return outputs that predict each target and others that do not; None if they are unknown."""
    targets = batch.targets
    if task.spec.labels is None:
        right = as_outputs(targets.float(), outputs.shape)
        return None if right is None else (right, right + 1 + outputs)
    if targets.is_floating_point():
        return 20 * (2 * targets - 1), 20 * (1 - 2 * targets)
    axis = -1 if isinstance(task, CarriesState) else 1
    right = 20 * F.one_hot(targets.clamp(min=0), outputs.shape[axis]).movedim(-1, axis).float()
    return right, right.roll(1, axis)


def items_of(metric: Metric, outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
    return metric.items(outputs, batch.targets, **asked(metric.items, batch))


def losses_of(function: LossFunction, outputs: Tensor, batch: Batch) -> Tensor:
    return function.losses(outputs, batch.targets, **asked(function.losses, batch))


def made_of(made: object, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return what a metric, a loss, or an object that is both returns for the items of a batch, by name."""
    found = {**items_of(made, outputs, batch)} if isinstance(made, Metric) else {}
    return found | ({"the loss": losses_of(made, outputs, batch)} if isinstance(made, LossFunction) else {})


def value_of(task: Task, metric: Metric, outputs: Tensor, batch: Batch, *, times: int = 1) -> float:
    """Return the value of a metric for a batch, or for one that repeats its items some `times`."""
    axes = [0, 1] if isinstance(task, CarriesState) else [0]
    found = items_of(metric, outputs, batch)
    sums = {name: times * value.double().sum(axes) for name, value in found.items()}
    return metric.value(numbers(sums), times * batch.count, **asked(metric.value, batch))


def images_of() -> Tensor:
    """Return images with smooth colors, (8, 3, 16, 16), uint8."""
    along = torch.linspace(20, 230, 16)
    image = torch.stack([along[:, None].expand(16, 16), along.expand(16, 16), along.flip(0).expand(16, 16)])
    return torch.stack([(image + 3 * number) for number in range(8)]).byte()


def augmented(
    case: Case, images: Tensor, *, seed: int = 0, places: Tensor | None = None, **options: Any
) -> Tensor:
    """Return images after the augmentation under check."""
    draws = Draws(torch.Generator().manual_seed(seed), 8, places, torch.arange(8) % 2 == seed)
    return case.entry.load()(images, draws, **options)


def config_of(case: Case, options: Mapping[str, Any]) -> TrainConfig:
    """Return a configuration with the entry, the training options that suit it, and some options."""
    named = case.registry.with_methods({case.entry.kind: case.entry.name})
    config = TrainConfig(epochs=_EPOCHS, methods=case.registry.methods)
    fields = {name: value for name, value in options.items() if name in fields_of(TrainConfig)}
    own = {f"{case.entry.kind}_options": {name: options[name] for name in options if name not in fields}}
    return config.replace({**getattr(case.spec, "training", {}), **named, **fields, **own})


def begun(case: Case, options: Mapping[str, Any] | None = None) -> TrainState:
    """Return a small network and the optimizer before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden = (nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh())
        model = nn.Sequential(*hidden, nn.Linear(8, 2))
    with failing(
        ZooError,
        expected="a torch.optim.Optimizer for groups of parameters",
        usually="a missing `return`, a class that does not inherit from torch.optim.Optimizer, or one that "
        "calls the model again, such as SAM or L-BFGS",
    ):
        return TrainState.begin(model, config_of(case, options or {}), precision="fp32", device="cpu")


def take_step(state: TrainState, lr: float | None = None) -> float:
    """Take a step towards outputs of a sine; return the loss before it."""
    loss = loss_of(state.model)
    loss.backward()  # type: ignore[no-untyped-call]
    with failing(
        (AssertionError, TypeError),
        expected="a step from the gradients of one loss",
        usually="a closure that calls the model again, as SAM and L-BFGS do, which zoo does not support",
    ):
        update_weights(state, state.config, state.config.lr if lr is None else lr, Readings())
    return loss.item()


def loss_of(model: nn.Module) -> Tensor:
    """Return the loss of outputs against a sine."""
    inputs = torch.linspace(-1, 1, 64).view(16, 4)
    return F.mse_loss(model(inputs), torch.sin(3 * inputs[:, :2]))


def history_of(case: Case) -> list[dict[str, dict[str, float]]]:
    """Return HISTORY with each metric that is the default of an option, such as "val/f1"."""
    defaults = [option.default for option in own_options(case.entry).values()]
    names = [default.rpartition("/")[2] for default in defaults if isinstance(default, str)]
    return [{key: dict.fromkeys(names, row["loss"]) | row for key, row in epoch.items()} for epoch in HISTORY]


def schedule_of(case: Case, options: Mapping[str, Any] | None = None) -> Callable[..., float]:
    """Return the function from a position and a history to the rate, as a share of the usual rate."""
    return make_schedule(config_of(case, options or {}).replace({"lr": 1.0}))


def rates_of(case: Case, options: Mapping[str, Any] | None = None, *, backward: bool = False) -> list[float]:
    """Return the rates at all positions, in order, computed from the last to the first if `backward`."""
    schedule = schedule_of(case, options)
    asked = POSITIONS[::-1] if backward else POSITIONS
    with failing(
        SpecError,
        expected="numbers of at least 0",
        usually="a string, or a missing `return`; a tensor; or a formula that leaves its range at the "
        "end of training",
    ):
        history = history_of(case)
        rates = [schedule(position, history[: int(position)]) for position in asked]
    return rates[::-1] if backward else rates
