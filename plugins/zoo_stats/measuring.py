"""Measure several models on the same items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo import DataError, OptionError, Registry, load
from zoo.interfaces import CarriesState, Dataset, Split, Task, make_task
from zoo.plugin import (
    Measured,
    block_length,
    default_split,
    intervals_of,
    measure,
    metrics_of,
    open_fed,
    resampled,
    runner_of,
)

__all__ = ["Measurement", "measure_all"]

Report = Callable[[str, int, int, str, str], None]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one model reached on a split.

    Attributes:
        name: the weights, as the user names them.
        dataset: full name of the dataset.
        data: the data, prepared for the model.
        intervals: the 95% confidence interval of each metric.
    """

    name: str
    dataset: str
    split: Split
    data: Dataset
    task: Task
    measured: Measured
    intervals: Mapping[str, tuple[float, float]]

    @property
    def unit(self) -> str:
        """What is counted, such as `images`."""
        return self.task.processor.unit(self.data.preprocess)

    @property
    def block_length(self) -> int:
        """The number of neighboring items that a bootstrap draws together."""
        return block_length(self.measured.items["loss"]) if isinstance(self.task, CarriesState) else 1

    def proportion(self, metric: str) -> Tensor | None:
        """Return the items (N,) for which a metric that is a proportion counts; None for any other metric."""
        values = self.measured.items.get(metric)
        return values if values is not None and values.dtype == torch.bool else None

    def labels_and_predictions(self) -> tuple[Tensor, Tensor] | None:
        """Return the labels and the predicted classes, (N,) int64; None without a confusion matrix."""
        pairs = self.measured.items.get("confusion")
        if pairs is None or pairs.ndim != 1:
            return None
        classes = len(self.data.preprocess["classes"])
        return pairs // classes, pairs % classes

    def resampled(self, *, length: int, resamples: int) -> Iterator[dict[str, float]]:
        """Yield the metrics of resampled items, which are the same for all models."""
        items, count = self.measured.items, self.measured.count
        shapes = {name: self.measured.sums[name].shape for name in items}
        for sums in resampled(items, shapes, length=length, resamples=resamples):
            yield metrics_of(self.task, sums, count, self.data.preprocess)


def measure_all(
    weights: Sequence[str],
    registry: Registry,
    *,
    split: Split | None,
    dataset: str | None,
    data: Mapping[str, Any] | None,
    device: str | None,
    report: Report,
) -> list[Measurement]:
    """Measure each model on the same split of the same data.

    Raises OptionError if the models differ in task, data or classes, and the errors of `Model.evaluate`.
    """
    found: list[Measurement] = []
    for name in weights:
        one = _measure(name, registry, split, dataset, data, device, report)
        if found:
            _require_same(found[0], one)
        found.append(one)
    return found


def _measure(
    name: str,
    registry: Registry,
    split: Split | None,
    dataset: str | None,
    data: Mapping[str, Any] | None,
    device: str | None,
    report: Report,
) -> Measurement:
    model = load(name, device=device, registry=registry, progress=False)
    module, card = model.module, model.card
    task = make_task(registry, card.task)
    own = {} if dataset else model.own
    entry, fed = open_fed(
        card, task, registry, dataset=dataset, data={**own, **(data or {})}, whole=split is None
    )
    split, unit = split or default_split(fed), task.processor.unit(fed.preprocess)
    context = runner_of(module, card, registry).context
    measured = measure(
        module,
        task,
        fed,
        split,
        context=context,
        device=model.device,
        report=lambda done, total: report(name, done, total, unit, ""),
        with_items=True,
    )
    if not measured.items:
        raise OptionError(f"models for {task.name} cannot be compared: the task provides no values of items")
    return Measurement(
        name=name,
        dataset=entry.name,
        split=split,
        data=fed,
        task=task,
        measured=measured,
        intervals=intervals_of(task, measured, fed.preprocess),
    )


def _require_same(one: Measurement, other: Measurement) -> None:
    names = f"{one.name} and {other.name} cannot be compared"
    hint = "choose the data of all models with --dataset and --data"
    if one.task.name != other.task.name:
        raise OptionError(f"{names}: they are models for {one.task.name} and {other.task.name}")
    facts = (each.data.preprocess.get("classes") for each in (one, other))
    if len({str(fact) for fact in facts}) > 1:
        raise OptionError(f"{names}: their classes differ")
    if one.dataset != other.dataset:
        raise DataError(f"{names}: one is measured on {one.dataset}, the other on {other.dataset}", hint=hint)
    if one.data.fingerprint != other.data.fingerprint:
        raise DataError(f"{names}: their {one.dataset} data differs (by fingerprint)", hint=hint)
    if one.split != other.split or one.measured.count != other.measured.count:
        counts = (f"{each.measured.count:,} {each.unit} of {each.split}" for each in (one, other))
        raise DataError(
            f"{names}: they are measured on {' and '.join(counts)}", hint="choose one with --split"
        )
