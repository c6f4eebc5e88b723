"""A weights file measured on data: what `zoo eval` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from zoo.data.augment import Views
from zoo.data.feeding import open_fed
from zoo.errors import OptionError
from zoo.evaluation.dynamic import Dynamic, evaluate_dynamic
from zoo.interfaces import Split
from zoo.models import weights
from zoo.registry.registry import Registry
from zoo.tasks import make_task
from zoo.training.loop import measure

__all__ = ["evaluate_weights"]


def evaluate_weights(
    path: Path,
    registry: Registry,
    *,
    split: str = "test",
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    device: str = "cpu",
    tta: bool = False,
    dynamic: Dynamic | None = None,
    report: Callable[[float, float], None] = lambda share, loss: None,
    notice: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return `{weights, dataset, split, count, unit, tta, metrics}` for a weights file.

    Of a classifier also `classes`, each one's count and accuracy, and `confusion[true][guessed]`.

    With `dynamic` there is one key more, `dynamic`: its own `metrics`, those of the same one lane without
    adapting (`unadapted`), and the settings they come from.

    Args:
        dataset: other data than the model learned from; its own options then start from their defaults.
        data: options of the dataset, over those the model learned with.
        tta: average the answers to several views of each image (`zoo.data.augment.Views`); classifiers only.
        dynamic: how to adapt while reading; for language models only.
        report: told how far dynamic evaluation is, as `zoo.evaluation.dynamic` has it.
        notice: told if the data is not what the model was trained and judged on.

    Raises:
        WeightsError, DataError, OptionError, UnknownName, SpecError: each says what to do.
    """
    model, card = weights.load(path, registry, device=device)
    if dynamic is not None and card.task != "language-modelling":
        raise OptionError(f"dynamic evaluation is for language models, and {path} does {card.task}")
    if tta and card.task != "classification":
        raise OptionError(f"test-time augmentation is for images, and {path} does {card.task}")
    entry, fed = open_fed(card, registry, dataset=dataset, data=data, notice=notice)
    task = make_task(card.task)
    part = cast("Split", split)
    measured = measure(Views(model).eval() if tta else model, task, fed, part, device=device)
    result: dict[str, Any] = {
        "weights": str(path),
        "dataset": entry.name,
        "split": split,
        "count": measured.count,
        "unit": task.unit(fed.preprocess),
        "tta": tta,
        "metrics": measured.metrics,
        **measured.details,
    }
    if dynamic is not None:
        still, _ = evaluate_dynamic(model, fed, part, replace(dynamic, lr=0.0), device=device)
        adapted, _ = evaluate_dynamic(model, fed, part, dynamic, device=device, report=report)
        result["dynamic"] = {"metrics": adapted, "unadapted": still, **asdict(dynamic)}
    return result
