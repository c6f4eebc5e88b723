"""A trained model evaluated on data that is fed as its card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from zoo.data.opening import open_fed
from zoo.errors import OptionError
from zoo.evaluation.dynamic import Dynamic, evaluate_dynamic
from zoo.evaluation.measure import measure
from zoo.evaluation.views import Views
from zoo.files.cards import Card
from zoo.interfaces import SPLITS, make_task
from zoo.registry.registry import Registry

__all__ = ["evaluate"]


def evaluate(
    model: nn.Module,
    card: Card,
    registry: Registry,
    *,
    split: str = "test",
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    device: str = "cpu",
    tta: bool = False,
    dynamic: Dynamic | None = None,
    report: Callable[[float, float], None] = lambda fraction, loss: None,
) -> dict[str, Any]:
    """Return `{dataset, split, count, unit, tta, metrics}` of a trained model.

    For a classifier, also `classes` (each one's count and accuracy) and `confusion[label][predicted]`. With
    `dynamic`, also `dynamic`: its `metrics`, those of the same lane without adaptation (`unadapted`), and its
    settings.

    Args:
        dataset: other data than the model was trained on; its own options then start from their defaults.
        data: options of the dataset, on top of those the model was trained with.
        tta: average the answers to six views of each image (test-time augmentation); classifiers only.
        dynamic: adapt to the text while reading it; language models only.
        report: called with the fraction of dynamic evaluation that is done, and the loss so far.

    Raises:
        OptionError: an option does not fit the model or the data.
        DataError, SpecError, UnknownName: the data does not exist or does not fit.
    """
    if split not in SPLITS:
        raise OptionError(f"split must be one of {', '.join(SPLITS)} (got {split!r})")
    if dynamic is not None and card.task != "language-modelling":
        raise OptionError(f"dynamic evaluation is for language models, but this model is for {card.task}")
    if tta and card.task != "classification":
        raise OptionError(f"test-time augmentation is for images, but this model is for {card.task}")
    task = make_task(registry, card.task)
    entry, fed = open_fed(card, task, registry, dataset=dataset, data=data)
    measured = measure(Views(model).eval() if tta else model, task, fed, split, device=device)
    result: dict[str, Any] = {
        "dataset": entry.name,
        "split": split,
        "count": measured.count,
        "unit": task.unit(fed.preprocess),
        "tta": tta,
        "metrics": measured.metrics,
        **measured.details,
    }
    if dynamic is not None:
        still, _ = evaluate_dynamic(model, fed, split, replace(dynamic, lr=0.0), device=device)
        adapted, _ = evaluate_dynamic(model, fed, split, dynamic, device=device, report=report)
        result["dynamic"] = {"metrics": adapted, "unadapted": still, **asdict(dynamic)}
    return result
