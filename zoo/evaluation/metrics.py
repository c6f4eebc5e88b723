"""Metrics and losses that plugins add to existing tasks, computed from the outputs of a model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from zoo.config.train_config import TrainConfig
from zoo.errors import OptionError, SpecError
from zoo.interfaces import Batch, CarriesState, LossFunction, Metric, State, Step, Task
from zoo.models.hooks import watching
from zoo.registry.methods import all_checked, own_of
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import MetricSpec

T = TypeVar("T")


def with_metrics(
    task: Task,
    registry: Registry,
    names: Sequence[str],
    options: Mapping[str, Any],
    *,
    given: Mapping[str, Any] | None = None,
    loss: str = "",
) -> Task:
    """Return a task that also measures plugins' metrics in an evaluation, or trains with a different loss.

    Args:
        options: options by metric, such as `{"focal-loss.gamma": 2}`.
        given: options that replace these; each must be an option of one of the metrics.
        loss: name of the entry whose loss is minimized in place of the task's; by default, the task's.

    Raises OptionError for an unknown name, for a metric of another task, or if two metrics have one name.
    """
    entries = [*{entry.name: entry for entry in (_entry(registry, name, task) for name in names)}.values()]
    losses = [_entry(registry, loss, task)] if loss else []
    used = [*entries, *losses]
    recorded = {key: options[key] for key in options if any(own_of({key: 0}, entry) for entry in used)}
    options = all_checked({**recorded, **(given or {})}, used, kind="metric", flag="--metric-option")
    if not used:
        return task
    metrics: dict[str, Metric] = {}
    spec = task.spec
    for entry in entries:
        name = entry.spec.name
        if name in {"loss", spec.primary_metric, *spec.units}:
            raise OptionError(f"metric {entry.name} has the name of another metric, {name!r}")
        metrics[name] = _made(entry, options, Metric, "metric", registry, task)
        better = (name,) if entry.spec.higher_is_better else ()
        units = {**spec.units, name: entry.spec.unit}
        spec = replace(spec, higher_is_better=spec.higher_is_better + better, units=units)
    made = (_made(entry, options, LossFunction, "loss", registry, task) for entry in losses)
    function = next(made, None)
    extended: Any = copy.copy(task)
    extended.spec = spec
    extended.step = partial(_step, task, metrics, function)
    extended.metrics = partial(_metrics, task, metrics)
    return extended


def _entry(registry: Registry, name: str, task: Task) -> Entry[MetricSpec]:
    """Return a metric. Raises OptionError if it is unknown, or for other tasks."""
    (name,) = registry.with_methods({"metrics": [name]})["metrics"]
    entry = registry.methods["metric", name]
    if entry.spec.tasks and task.name not in entry.spec.tasks:
        raise OptionError(f"metric {entry.name} is for {', '.join(entry.spec.tasks)}, not for {task.name}")
    return entry


def _made(
    entry: Entry[MetricSpec],
    options: Mapping[str, Any],
    type_: type[T],
    what: str,
    registry: Registry,
    task: Task,
) -> T:
    """Return the metric or the loss that an entry makes. Raises OptionError if it is of the other type."""
    made = entry.make(own_of(options, entry), object, flag="--metric-option")
    if not isinstance(made, type_):
        fit = ", ".join(
            each.spec.name
            for each in registry.entries_of(MetricSpec)
            if (not each.spec.tasks or task.name in each.spec.tasks) and _makes(each.load(), type_)
        )
        hint = f"choose one of: {fit}" if fit else f"no plugin has a {what} for {task.name}"
        raise OptionError(f"{entry.name} is not a {what}", hint=hint)
    return made


def _makes(target: object, type_: type) -> bool:
    """Return whether a target is a class of the given type; what a function returns is not known."""
    return isinstance(target, type) and issubclass(target, type_)


def _step(
    task: Task,
    metrics: Mapping[str, Metric],
    function: LossFunction | None,
    model: nn.Module,
    batch: Batch,
    state: State = None,
    *,
    config: TrainConfig | None = None,
) -> Step:
    """Run the model as the task does, and add the contribution of each item to each metric."""
    outputs: list[Any] = []
    with watching({"": model}, lambda _, output: outputs.append(output)):
        step = task.step(model, batch, state, config=config)
    output: Tensor = outputs[-1][0] if isinstance(outputs[-1], tuple) else outputs[-1]
    logits = output.float()[-len(batch.targets) :]  # a window of text may have a target for its end only
    if config is not None:
        return _with_loss(step, function, logits, batch) if function else step
    found = {
        f"{name}/{key}": value.float()  # as int64, they would be positions in the sum
        for name, metric in metrics.items()
        for key, value in metric.items(logits, batch.targets, **asked(metric.items, batch)).items()
    }
    axes = (0, 1) if isinstance(task, CarriesState) else (0,)  # (T, B, ...) or (B, ...)
    for name, value in found.items():
        if value.shape[: len(axes)] != batch.targets.shape[: len(axes)]:
            message = f"metric {name.partition('/')[0]} must return one row per item"
            raise SpecError(f"{message} (got the shape {tuple(value.shape)})")
    sums = {name: value.sum(axes) for name, value in found.items()}
    items = partial(_joined, step.items, found) if step.items else None
    return replace(step, sums={**step.sums, **sums}, items=items)


def _joined(own: Callable[[], Mapping[str, Tensor]], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**own(), **found}


def _with_loss(step: Step, function: LossFunction, logits: Tensor, batch: Batch) -> Step:
    if float(step.penalty):
        raise OptionError("loss= cannot be set for a model that adds a penalty to the loss")
    losses = function.losses(logits, batch.targets, **asked(function.losses, batch))
    if losses.shape[:1] != batch.targets.shape[:1]:
        raise SpecError(f"loss= must return the loss of each item (got the shape {tuple(losses.shape)})")
    return replace(step, loss=(losses if batch.weights is None else losses * batch.weights).mean())


def _metrics(
    task: Task,
    metrics: Mapping[str, Metric],
    sums: Mapping[str, Any],
    count: int,
    preprocess: Mapping[str, Any],
) -> dict[str, float]:
    """Return the task's metrics, followed by those of plugins if they were measured."""
    found = task.metrics({name: value for name, value in sums.items() if "/" not in name}, count, preprocess)
    for name, metric in metrics.items():
        own = {key.partition("/")[2]: value for key, value in sums.items() if key.startswith(f"{name}/")}
        more = _chosen(metric.value, preprocess=preprocess)
        found |= {name: metric.value(own, count, **more)} if own else {}
    return found


def asked(function: Callable[..., Any], batch: Batch) -> dict[str, Any]:
    """Return those of a batch's `inputs` and `preprocess` that a method of a metric or a loss declares."""
    return _chosen(function, inputs=batch.inputs, preprocess=batch.preprocess)


def _chosen(function: Callable[..., Any], **known: Any) -> dict[str, Any]:
    """Return the arguments that a function declares."""
    return {name: value for name, value in known.items() if name in inspect.signature(function).parameters}
