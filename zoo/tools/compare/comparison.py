"""Compare models on the same items, or groups of runs with several seeds."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from zoo.api.model import Model
from zoo.api.run import Run
from zoo.config.arguments import checked
from zoo.config.train_config import Split
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError, warn
from zoo.files import run_files
from zoo.registry.registry import Registry, default_registry
from zoo.registry.specs import TaskSpec
from zoo.runs.run_table import RunList, list_runs
from zoo.tools.compare.significance import ALPHA, RESAMPLES, bootstrap, detectable, holm, mcnemar, welch

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from zoo.tools.compare.measurements import Measurement

Pair = dict[str, Any]

# Options that may differ between runs of a group, and the most options that a message names
_MAY_DIFFER, _SHOWN = ("seed", "threads"), 3


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The comparison of multiple models, or groups of runs, on the same items.

    Attributes:
        dataset: full name of the dataset.
        split: the split, or `all` for data without splits.
        count: number of items.
        unit: unit of the items, such as `images`.
        models: for each model or group, `weights`, `metrics` and `intervals`; for a group, also `runs`, and
            `sd` instead of `intervals`.
        pairs: for each pair and metric, `a`, `b`, `metric`, `difference` (a minus b), its 95% `interval`, `p`
            (corrected for the number of pairs) and `different`. With two models, a pair also has
            `detectable`, the smallest true difference that would be detected in 4 of 5 comparisons of this
            kind. For a metric that is a proportion of items, such as accuracy, `only_a` and `only_b` are the
            indices of the items that only `a` or only `b` predicts correctly.
        task: the task, which has the units of the metrics.
    """

    dataset: str
    split: str
    count: int
    unit: str
    models: list[dict[str, Any]]
    pairs: list[Pair]
    task: TaskSpec = field(repr=False)
    measurements: Sequence[Measurement] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        names = ("dataset", "split", "count", "unit", "models", "pairs")
        return {name: getattr(self, name) for name in names}

    def by_class(self, pair: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the name of each class and the numbers of items that only one model predicts correctly."""
        labels, classes = self._labels(), self.measurements[0].data.preprocess.get("classes", ())
        if labels is None:
            return []
        counts = [
            labels[pair[side]].bincount(minlength=len(classes)).tolist() for side in ("only_a", "only_b")
        ]
        return [
            {"class": name, "only_a": a, "only_b": b} for name, a, b in zip(classes, *counts, strict=True)
        ]

    def plot(self) -> Figure:
        """Draw images that only one model predicts correctly. Raises OptionError if there are none."""
        from zoo.tools.compare.disagreements import draw_disagreements

        pairs = [pair for pair in self.pairs if pair.get("only_a") or pair.get("only_b")]
        if self._labels() is None or not pairs:
            raise OptionError("there are no images that only one model gets right")
        return draw_disagreements(self.measurements, pairs)

    def _labels(self) -> Tensor | None:
        pairs = self.measurements[0].labels_and_predictions() if self.measurements else None
        return pairs[0] if pairs else None


@checked
def compare(
    *weights: str | Path | Model | Run,
    split: Split | None = None,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    metrics: Sequence[str] = (),
    metrics_options: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> Comparison:
    """Compare models on the same items, and test whether their results differ.

    Proportions such as accuracy are compared with McNemar's exact test, and other metrics with a paired
    bootstrap, which resamples the tokens of a text in blocks. If all arguments are folders with multiple
    runs, such as the folders that `zoo train --seeds` writes, the means of the runs are compared with Welch's
    t-test. With more than two models, p-values are corrected with Holm's method.

    Args:
        weights: at least two models (ids, files, run directories, models or runs), or folders with runs.
        split: split to compare on; by default, `test`, or `val` if there is no test split.
        dataset: dataset to compare on instead of the training dataset.
        data: dataset options, in addition to those used in training.
        metrics: an additional metric to compare, such as `macro-f1`; `zoo list metrics` lists all.
        metrics_options: options for these metrics, such as `near-misses.top=3`.
        device: as in `load`.
        progress: show progress on stderr or in the notebook.
        registry: as in `load`.

    Raises:
        OptionError: fewer than two models, models that cannot be compared, or a folder of runs that differ
            in options besides the seed.
        DataError: the models were trained on different data, and no common data was chosen.
        ZooError: a model cannot be loaded or measured.
    """
    names = [_place_of(each) for each in weights]
    if len(names) < 2:
        raise OptionError(f"compare requires at least two models (got {len(names)})")
    if registry is None:
        from zoo.api.local import joined  # which imports torch

        own = [each.registry for each in weights if not isinstance(each, str | Path)]
        registry = joined(own) if own else default_registry()
    groups = [_runs_in(name, registry) for name in names]
    if any(groups) and not all(groups):
        single = next(name for name, runs in zip(names, groups, strict=True) if not runs)
        raise OptionError(
            f"a model cannot be compared with a folder of runs: {single} is not a folder of runs"
        )
    for name, runs in zip(names, groups, strict=True):
        if len(runs) == 1:
            raise OptionError(f"compare requires at least 2 finished runs in each folder ({name} has 1)")
    from zoo.tools.compare.measurements import measure_all

    with Bar() if progress else quiet() as bar:
        found = measure_all(
            names if not any(groups) else [run for runs in groups for run in runs],
            registry,
            split=split,
            dataset=dataset,
            data=data,
            metrics=metrics,
            metrics_options=metrics_options,
            device=device,
            report=bar,
        )
    if any(groups):
        return _of_groups(names, groups, found)
    return _of_models(found)


def _place_of(given: str | Path | Model | Run) -> str:
    """Return the name of a model: an id or a path."""
    if isinstance(given, str | Path):
        return str(given)
    place = str(given.directory if isinstance(given, Run) else given.path)
    return place if os.sep in place else f"./{place}"  # a bare word would be an id


def _runs_in(name: str, registry: Registry) -> list[str]:
    """Return the finished runs in a folder, and warn of others; none if it is a model.

    Raises OptionError if the options of the runs differ besides the seed.
    """
    place = Path(name)
    if not place.is_dir() or (place / run_files.CONFIG).exists():
        return []
    rows = list_runs(place, registry=registry)
    finished = RunList(row for row in rows if row["status"] == "finished")
    if len(finished) < len(rows):
        warn(f"{name}: {len(rows) - len(finished)} of {len(rows)} runs are not finished and are skipped")
    if differing := [key for key in finished.differing() if key not in _MAY_DIFFER]:
        hint = "compare the runs themselves, or folders that `zoo train --seeds` wrote"
        shown = ", ".join(differing[:_SHOWN])
        raise OptionError(f"the runs in {name} differ in options besides the seed: {shown}", hint=hint)
    return [row["run"] for row in finished]


def _of_models(found: Sequence[Measurement]) -> Comparison:
    length = max(each.block_length for each in found)
    drawn = [[*each.resampled(length=length, resamples=RESAMPLES)] for each in found]
    pairs: list[Pair] = []
    for metric in found[0].measured.metrics:
        rows = [
            _pair(metric, found[a], found[b], drawn[a], drawn[b], found[a].measured.count / length)
            for a, b in itertools.combinations(range(len(found)), 2)
        ]
        pairs += _corrected(rows)
    models = [
        {"weights": each.name, "metrics": each.measured.metrics, "intervals": dict(each.intervals)}
        for each in found
    ]
    return _comparison(found, models, pairs, found)


def _pair(
    metric: str,
    a: Measurement,
    b: Measurement,
    drawn_a: Sequence[Mapping[str, float]],
    drawn_b: Sequence[Mapping[str, float]],
    blocks: float,
) -> Pair:
    difference = a.measured.metrics[metric] - b.measured.metrics[metric]
    pairs = zip(drawn_a, drawn_b, strict=True)
    resampled = [one[metric] - two[metric] for one, two in pairs if metric in one and metric in two]
    interval, p = bootstrap(difference, resampled, blocks)
    row: Pair = {"a": a.name, "b": b.name, "metric": metric, "difference": difference, "interval": interval}
    right_a, right_b = (each.proportion(metric) for each in (a, b))
    if right_a is None or right_b is None:
        return row | {"p": p, "detectable": detectable(resampled)}
    only_a, only_b = (
        (one & ~two).nonzero()[:, 0].tolist() for one, two in ((right_a, right_b), (right_b, right_a))
    )
    p = mcnemar(len(only_a), len(only_b))
    smallest = detectable(resampled) + 1 / a.measured.count  # McNemar's exact test loses up to one item
    return row | {"p": p, "detectable": smallest, "only_a": only_a, "only_b": only_b}


def _of_groups(
    names: Sequence[str], groups: Sequence[Sequence[str]], found: Sequence[Measurement]
) -> Comparison:
    measured = {each.name: each.measured.metrics for each in found}
    values = [
        {metric: [measured[run][metric] for run in runs] for metric in found[0].measured.metrics}
        for runs in groups
    ]
    pairs: list[Pair] = []
    for metric in found[0].measured.metrics:
        rows: list[Pair] = []
        for one, two in itertools.combinations(range(len(names)), 2):
            a, b = values[one][metric], values[two][metric]
            interval, p = welch(a, b)
            row = {"a": names[one], "b": names[two], "metric": metric, "difference": fmean(a) - fmean(b)}
            rows.append(row | {"interval": interval, "p": p})
        pairs += _corrected(rows)
    models = [
        {
            "weights": name,
            "runs": len(runs),
            "metrics": {metric: fmean(each) for metric, each in group.items()},
            "sd": {metric: stdev(each) for metric, each in group.items()},
        }
        for name, runs, group in zip(names, groups, values, strict=True)
    ]
    return _comparison(found, models, pairs, ())


def _corrected(rows: Sequence[Pair]) -> list[Pair]:
    """Return the rows of one metric with p corrected for their number, and with what follows from it."""
    return [
        row | {"p": p, "different": p < ALPHA}
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True)
    ]


def _comparison(
    found: Sequence[Measurement],
    models: list[dict[str, Any]],
    pairs: list[Pair],
    measurements: Sequence[Measurement],
) -> Comparison:
    first = found[0]
    return Comparison(
        dataset=first.dataset,
        split=first.split,
        count=first.measured.count,
        unit=first.unit,
        models=models,
        pairs=pairs,
        task=first.task.spec,
        measurements=measurements,
    )
