"""Measure a module once on every item of a split, in fp32."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config.options import shown
from zoo.errors import DataError, SpecError, WeightsError
from zoo.evaluation.program_module import unprepared
from zoo.interfaces import SPLITS, Batch, CarriesState, Dataset, Split, State, Step, Task
from zoo.models.hooks import MOST_BYTES, MOST_OF_ONE, TooLarge, evaluating, no_larger_outputs
from zoo.models.precision import exact
from zoo.models.windows import long_enough, windowed


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of an evaluation.

    Attributes:
        details: results beyond single numbers, such as each class's accuracy, as JSON data.
        count: number of items measured.
        sums: the sums from which the metrics were computed.
        items: values of each item, (N, ...), in the order of the data; see `Step.items`. Empty unless
            requested, or if the task does not provide them for every sum.
        carried: the result with the hidden state carried over, if the task limits the context; its loss is
            also the metric `carried_loss`.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    count: int
    sums: Mapping[str, Tensor]
    items: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    carried: Measured | None = None

    def beside(self, carried: Measured) -> Measured:
        """Return the result with another one, in which the hidden state was carried over."""
        return replace(
            self, metrics={**self.metrics, "carried_loss": carried.metrics["loss"]}, carried=carried
        )


@torch.inference_mode()
def measure(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    *,
    context: int = 0,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
    trusted: bool = False,
    with_items: bool = False,
    prepared: bool = True,
) -> Measured:
    """Measure a model on a split, every item once, in fp32 regardless of its training precision.

    Args:
        context: maximum number of tokens that the model reads from an empty state; 0 for no limit.
        report: called at the start and after each batch with the number of items done and the total, which is
            estimated from the batches so far and 0 at the start; it may raise an error to stop.
        trusted: whether the model may use any amount of memory for a single item.
        with_items: also return the values of each item.
        prepared: whether the model receives prepared items, unlike the program of an exported file.

    Raises:
        DataError: the split is empty.
        WeightsError: the model needs too much memory for a single item.
    """
    sums: dict[str, Tensor] = {}
    items: list[dict[str, Tensor]] = []
    fresh: list[bool] = []
    count = 0
    report(0, 0)
    batches = task.eval_batches(dataset, split, device=device)
    if not prepared and not isinstance(task, CarriesState):
        batches = unprepared(batches, dataset.split(split))
    with closing(steps_of(model, task, batches, context=context, trusted=trusted)) as steps:
        for batch, step in steps:
            count += step.count
            for name, value in step.sums.items():
                sums[name] = sums.get(name, 0.0) + exact(value)
            if with_items and step.items:
                items.append({name: value.cpu() for name, value in step.items().items()})
                fresh.append(batch.fresh)
            report(count, count * batch.total // (batch.index + 1))
    measured = finished(task, dataset, split, sums, count)
    if items and items[0].keys() >= sums.keys():  # otherwise, a metric could not be computed from them
        joined = _joined_in_time(items, fresh) if isinstance(task, CarriesState) else _joined(items)
        measured = replace(measured, items=joined)
    if not task.context:
        return measured
    carried = measure(
        model,
        task.with_context(0),
        dataset,
        split,
        context=context,
        device=device,
        report=report,
        trusted=trusted,
        with_items=with_items,
    )
    return measured.beside(carried)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Join the values of all batches: (N, ...)."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _joined_in_time(parts: Sequence[Mapping[str, Tensor]], fresh: Sequence[bool]) -> dict[str, Tensor]:
    """Join the values of all batches of sequences, (T, B, ...), in the order of the text: (N, ...).

    Each batch continues the streams of the one before it, unless it is fresh.
    """
    starts = [*(number for number, first in enumerate(fresh) if first), len(parts)]
    streams = [_joined(parts[start:end]) for start, end in pairwise(starts)]
    return _joined([{name: x.transpose(0, 1).flatten(0, 1) for name, x in each.items()} for each in streams])


def steps_of(
    model: nn.Module, task: Task, batches: Iterable[Batch], *, context: int, trusted: bool
) -> Generator[tuple[Batch, Step]]:
    """Run the model on each batch of an evaluation, as `measure` does; yield each batch with its step."""
    state = None
    model = windowed(model, context)
    with evaluating(model):
        for batch in long_enough(batches, context) if context else batches:
            step = _step(model, task, batch, state, math.inf if trusted else MOST_OF_ONE)
            state = step.state
            yield batch, step


def finished(task: Task, dataset: Dataset, split: Split, sums: Mapping[str, Tensor], count: int) -> Measured:
    """Compute the result of an evaluation from the sums over all its items.

    Raises DataError if there are no items, and SpecError if only metrics of plugins are not finite.
    """
    if count == 0:
        others = [name for name in SPLITS if name != split and len(dataset.split(name))]
        hint = f"data is available in {' and '.join(others)}; use --split {others[-1]}" if others else None
        raise DataError(f"the {split} split is empty", hint=hint)
    sums = {name: _on_the_host(value) for name, value in sums.items()}
    metrics = metrics_of(task, sums, count, dataset.preprocess)
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong and {*wrong} <= {name.partition("/")[0] for name in sums if "/" in name}:
        hint = "it must be finite; return 0, for example, if it is undefined"
        raise SpecError(f"the metric {wrong[0]} is {metrics[wrong[0]]}", hint=hint)
    return Measured(metrics, task.details(sums, dataset.preprocess), count, sums)


def metrics_of(
    task: Task, sums: Mapping[str, Tensor], count: int, preprocess: Mapping[str, Any]
) -> dict[str, float]:
    """Return a task's metrics. Raises SpecError if one is not a number."""
    metrics: dict[str, float] = {}
    for name, value in task.metrics(numbers(sums), count, preprocess).items():
        try:
            metrics[name] = float(value)
        except (TypeError, ValueError):
            raise SpecError(f"{task.name}: metric {name!r} must be a number (got {shown(value)})") from None
    return metrics


def numbers(sums: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return sums for `Task.metrics`: scalars as numbers, others in double precision on the CPU."""
    return {name: _on_the_host(value) if value.ndim else float(value) for name, value in sums.items()}


def _on_the_host(value: Tensor) -> Tensor:
    return value.cpu().double()  # a GPU may lack double precision, and adds up running sums in any order


def _step(model: nn.Module, task: Task, batch: Batch, state: State, most_of_one: float) -> Step:
    """Run the model on a batch; if the batch is too large, split its images, time steps or windows."""
    # a window, whose only target is for its end, cannot be split in time
    axis = int(batch.fresh and len(batch.targets) < len(batch.inputs))
    half = batch.inputs.shape[axis] // 2
    try:
        with no_larger_outputs(model, MOST_BYTES if half else most_of_one):
            return task.step(model, batch, state)
    except TooLarge as error:
        if not half:
            raise WeightsError(f"the model cannot be evaluated: one layer's output needs {error}") from None
    parts = (half, batch.inputs.shape[axis] - half)
    inputs, targets = batch.inputs.split(parts, axis), batch.targets.split(parts, axis)
    first = replace(batch, inputs=inputs[0], targets=targets[0])
    second = replace(batch, inputs=inputs[1], targets=targets[1], fresh=bool(axis))
    before = _freed(_step(model, task, first, state, most_of_one))
    after = _freed(_step(model, task, second, before.state, most_of_one))
    sums = {name: value + after.sums[name] for name, value in before.sums.items()}
    both = before.items and after.items and partial(_both, before.items, after.items, axis)
    return replace(after, sums=sums, count=before.count + after.count, items=both)


def _freed(step: Step) -> Step:
    """Return a step that holds the values of its items, but no longer the model's outputs."""
    return replace(step, items=partial(dict, step.items())) if step.items else step


def _both(
    before: Callable[[], Mapping[str, Tensor]], after: Callable[[], Mapping[str, Tensor]], axis: int
) -> dict[str, Tensor]:
    first, second = before(), after()
    return {name: torch.cat([value, second[name]], axis) for name, value in first.items()}
