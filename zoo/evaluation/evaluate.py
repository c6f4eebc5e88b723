"""Evaluate a trained model on data that is prepared as its card specifies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from zoo.config.train_config import checked_fields
from zoo.data.opening import default_split, open_fed, split_name
from zoo.errors import Diverged, OptionError, warn
from zoo.evaluation.baseline import beats_baseline
from zoo.evaluation.intervals import intervals_of
from zoo.evaluation.measure import Measured, measure
from zoo.evaluation.metrics import with_metrics
from zoo.evaluation.program_module import ProgramModule
from zoo.files.cards import Card
from zoo.interfaces import Dataset, HasViews, Split, Task, make_task
from zoo.models.runners import ProgramRunner, Runner
from zoo.registry.registry import Registry

T = TypeVar("T")
# Called with the work, the items done, their total, their unit, and a note such as the loss so far
Report = Callable[[str, int, int, str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSplit:
    """The result of a model on a split.

    Attributes:
        dataset: full name of the dataset.
        data: the data, prepared for the model.
        measured: the measurement, with values of items if the task provides them.
    """

    task: Task
    dataset: str
    data: Dataset
    split: Split
    tta: bool
    measured: Measured

    @property
    def where(self) -> str:
        """The name of the split in results: `all` for a test split that holds all of the data."""
        return split_name(self.data, self.split)

    def to_dict(self) -> dict[str, Any]:
        """Return the result of `Model.evaluate`; warn if it is no better than a random baseline."""
        task, fed, measured = self.task, self.data, self.measured
        found = intervals_of(task, measured, fed.preprocess)
        on_what = self.dataset if self.where == "all" else self.where
        return {
            **measured.details,
            **({"context": task.context} if task.context else {}),
            "dataset": self.dataset,
            "split": self.where,
            "count": measured.count,
            "counts": task.counts(fed, self.split),
            "unit": task.processor.unit(fed.preprocess),
            "tta": self.tta,
            "metrics": measured.metrics,
            "intervals": {name: [*each] for name, each in found.items()},
            "units": dict(task.spec.units),
            "baseline": task.baseline(fed.preprocess),
            "better_than_baseline": beats_baseline(measured.metrics, task, fed.preprocess, split=on_what),
        }


def measure_split(
    runner: Runner,
    card: Card,
    registry: Registry,
    *,
    split: Split | None = None,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    tta: bool = False,
    tta_below: float = 1.0,
    context: int | None = None,
    metrics: Sequence[str] = (),
    metrics_options: Mapping[str, Any] | None = None,
    report: Report = lambda what, done, total, unit, note: None,
) -> MeasuredSplit:
    """Open the data of a model, or other data, and measure the model on a split.

    Args:
        split: by default `test`, or `val` if there is no test split; or, for a different dataset without
            splits, all of its data.
        dataset, data: a dataset to use instead of the training data, and options that override the card's.
        tta: average the predictions for several views of each input, if the task supports it.
        tta_below: do so only for inputs for which the highest probability is lower.
        context: number of tokens that each prediction of a language model is based on, or 0 for all; by
            default, as in training.
        metrics, metrics_options: additional metrics to measure, and their options.
        report: called after each batch.

    Raises Diverged if a metric is not finite, and the same errors as `open_fed`.
    """
    recorded = _recorded(card, "metrics_options", {})
    task = with_metrics(make_task(registry, card.task), registry, metrics, recorded, given=metrics_options)
    task = task.as_trained(card.training) if context is None else task.with_context(context)
    if 0 < runner.context < task.context:
        raise OptionError(f"the model reads at most {runner.context:,} tokens (got context={task.context:,})")
    program = ProgramModule(runner) if isinstance(runner, ProgramRunner) else None
    if program and tta:
        raise OptionError("tta requires the weights: an exported file evaluates one view of each input")
    if tta_below < 1 and not tta:
        raise OptionError(f"tta_below requires tta (got tta_below={tta_below:g})")
    model = program or (_views(runner.module, task, tta_below) if tta else runner.module)
    entry, fed = open_fed(card, task, registry, dataset=dataset, data=data, whole=split is None)
    split, unit = split or default_split(fed), task.processor.unit(fed.preprocess)

    def progress(done: int, total: int) -> None:
        report("evaluating", done, total, unit, "")

    measured = measure(
        model,
        task,
        fed,
        split,
        context=runner.context,
        device=runner.device,
        report=progress,
        with_items=True,
        prepared=program is None,
    )
    _require_finite(measured.metrics, split)
    return MeasuredSplit(task=task, dataset=entry.name, data=fed, split=split, tta=tta, measured=measured)


def with_recorded(card: Card, registry: Registry, names: Sequence[str]) -> list[str]:
    """Return the metrics that training measured, then others; warn of those that no plugin provides."""
    recorded = _recorded(card, "metrics", tuple[str, ...]())
    present = [name for name in recorded if ("metric", name) in registry.methods]
    if missing := [name for name in recorded if name not in present]:
        warn(f"not measured, because no installed plugin provides it: {', '.join(missing)}")
    return [*dict.fromkeys([*present, *names])]


class _ViewsIfUnsure(nn.Module):
    """A classifier that averages over several views only where its highest probability is low."""

    def __init__(self, model: nn.Module, views: nn.Module, below: float) -> None:
        super().__init__()
        self.model, self.views, self.below = model, views, below

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (B, ...) to logits (B, K, ...); of several positions, the least sure one decides."""
        logits: Tensor = self.model(inputs)
        highest = logits.softmax(1).amax(1).reshape(len(logits), -1).amin(1)
        unsure = (highest < self.below).nonzero().flatten()
        return logits.index_copy(0, unsure, self.views(inputs[unsure])) if len(unsure) else logits


def _views(model: nn.Module, task: Task, below: float) -> nn.Module:
    if not isinstance(task, HasViews):
        raise OptionError(f"{task.name} does not support test-time augmentation")
    if below < 1 and not task.spec.exclusive:
        raise OptionError(f"tta_below requires a task whose classes exclude each other (got {task.name})")
    return _ViewsIfUnsure(model, task.views(model), below) if below < 1 else task.views(model)


def _recorded(card: Card, name: str, default: T) -> T:
    """Return a training option that a card records. Raises OptionError if it has another type."""
    return checked_fields({name: card.training.get(name, default)})[name]


def _require_finite(metrics: Mapping[str, float], split: str) -> None:
    """Raise Diverged if a metric is not finite: results can overflow even if all weights are finite."""
    wrong = ", ".join(f"{name} {value}" for name, value in metrics.items() if not math.isfinite(value))
    if wrong:
        hint = "the weights are finite, but so large that results overflow"
        raise Diverged(f"the result on {split} is not finite: {wrong}", hint=hint)
