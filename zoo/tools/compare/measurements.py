"""Measure several models on the same items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from zoo.api.load_weights import load
from zoo.errors import DataError, OptionError
from zoo.evaluation.evaluate import MeasuredSplit, measure_split
from zoo.evaluation.intervals import block_length, intervals_of, resampled
from zoo.evaluation.measure import metrics_of
from zoo.interfaces import CarriesState, Split
from zoo.models.module_runner import runner_of
from zoo.registry.registry import Registry

Report = Callable[[str, int, int, str, str], None]


class Measurement:
    """The results of one model on a split.

    Args:
        name: the weights, as the user names them.
        on: the split, and the result.

    Attributes:
        dataset: full name of the dataset.
        split: the split, or `all` for data without splits.
        data: the data, prepared for the model.
        split: the split, or `all` for data without splits.
        inputs: the items of the split.
    """

    def __init__(self, name: str, on: MeasuredSplit) -> None:
        self.name = name
        self._on = on
        self.dataset = on.dataset
        self.split = on.where
        self.inputs = on.data.split(on.split)
        self.data = on.data
        self.task = on.task
        self.measured = on.measured

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """The 95% confidence interval of each metric."""
        return intervals_of(self.task, self.measured, self.data.preprocess)

    @property
    def unit(self) -> str:
        """The unit of the items, such as `images`."""
        return self.task.processor.unit(self.data.preprocess)

    @property
    def block_length(self) -> int:
        """The number of neighboring items that a bootstrap draws together."""
        return block_length(self.measured.items["loss"]) if isinstance(self.task, CarriesState) else 1

    def on_last(self, count: int) -> Measurement:
        """Return the measurement of the last `count` tokens of a text."""
        items = {name: values[len(values) - count :] for name, values in self.measured.items.items()}
        sums = {name: values.sum(0, dtype=torch.float64) for name, values in items.items()}
        metrics = metrics_of(self.task, sums, count, self.data.preprocess)
        found = replace(self.measured, metrics=metrics, count=count, sums=sums, items=items, carried=None)
        return Measurement(self.name, replace(self._on, measured=found))

    def proportion(self, metric: str) -> Tensor | None:
        """Return whether each item counts toward a metric, (N,); None if the metric is not a proportion."""
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
    device: str | None,
    report: Report,
    data: Mapping[str, Any] | None,
    dataset: str | None,
    metrics: Sequence[str],
    metrics_options: Mapping[str, Any] | None,
    split: Split | None,
) -> list[Measurement]:
    """Measure each model on the same split of the same data.

    Raises OptionError if the models differ in task, data or classes, and the errors of `Model.evaluate`.
    """
    found: list[Measurement] = []
    models = [load(name, device=device, registry=registry, progress=False) for name in weights]
    for name, model in zip(weights, models, strict=True):
        own = {} if dataset else model.own
        runner = runner_of(model.module, model.card, registry, device=model.device)
        measured = measure_split(
            runner,
            model.card,
            registry,
            split=split,
            dataset=dataset,
            data={**own, **(data or {})},
            metrics=metrics,
            metrics_options=metrics_options,
            report=partial(_titled, report, name),
        )
        if not measured.measured.items:
            task = model.card.task
            why = "the task does not report values for single items"
            raise OptionError(f"models for {task} cannot be compared: {why}")
        found.append(Measurement(name, measured))
        _require_same(found[0], found[-1])
    if any(each.measured.carried for each in found):  # those do not predict the first tokens
        count = min(each.measured.count for each in found)
        return [each.on_last(count) for each in found]
    return found


def _titled(report: Report, name: str, what: str, done: int, total: int, unit: str, note: str) -> None:
    report(f"{what} {name}", done, total, unit, note)


def _require_same(one: Measurement, other: Measurement) -> None:
    names = f"{one.name} and {other.name} cannot be compared"
    hint = "use --dataset and --data to choose the same data for all models"
    if one.task.name != other.task.name:
        raise OptionError(f"{names}: they are models for {one.task.name} and {other.task.name}")
    facts = (each.data.preprocess.get("classes") for each in (one, other))
    if len({str(fact) for fact in facts}) > 1:
        raise OptionError(f"{names}: their classes differ")
    if one.dataset != other.dataset:
        raise DataError(
            f"{names}: one was measured on {one.dataset}, the other on {other.dataset}", hint=hint
        )
    if one.data.fingerprint != other.data.fingerprint:
        raise DataError(f"{names}: their {one.dataset} data has different fingerprints", hint=hint)
    counts_differ = one.measured.count != other.measured.count and not isinstance(one.task, CarriesState)
    if one.split != other.split or counts_differ:
        counts = (f"{each.measured.count:,} {each.unit} of {each.split}" for each in (one, other))
        message = f"{names} were measured on different splits: {' and '.join(counts)}"
        raise DataError(message, hint="choose a split with --split")
