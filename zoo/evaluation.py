"""A weights file measured on data: what `zoo eval` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from zoo import weights
from zoo.building import open_dataset, signature_options
from zoo.errors import SpecError
from zoo.feeding import feed_as
from zoo.interfaces import Split
from zoo.registry import Registry
from zoo.tasks import make_task
from zoo.training.loop import evaluate_counted

__all__ = ["evaluate_weights"]


def evaluate_weights(
    path: Path,
    registry: Registry,
    *,
    split: str = "test",
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    device: str = "cpu",
    notice: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return `{weights, dataset, split, count, unit, metrics}` for a weights file.

    Args:
        dataset: other data than the model learned from; its own options then start from their defaults.
        data: options of the dataset, over those the model learned with.
        notice: told if the data is not what the model was trained and judged on.

    Raises:
        WeightsError, DataError, OptionError, UnknownName, SpecError: each says what to do.
    """
    model, card = weights.load(path, registry, device=device)
    entry = registry.dataset(dataset or card.dataset.name)
    if entry.spec.task != card.task:
        raise SpecError(f"{path} does {card.task}, and {entry.name} is data for {entry.spec.task}")
    same = entry.name == card.dataset.name
    options = (card.dataset.options if same else {}) | dict(data or {})
    opened = open_dataset(entry, options)
    if card.task == "language-modelling" and "vocabulary" in signature_options(entry.load()):
        known, lower = card.preprocess["vocabulary"], card.preprocess["lower"]
        if (
            opened.preprocess["vocabulary"] != known
        ):  # read anew, so that no character the model knows is lost
            opened = open_dataset(entry, options | {"vocabulary": known, "lower": lower})
    if opened.fingerprint != card.dataset.fingerprint:
        notice(f"this is other data than {card.dataset.name} as the model learned from it")
    task = make_task(card.task)
    fed = feed_as(opened, card)
    metrics, count = evaluate_counted(model, task, fed, cast("Split", split), device=device)
    return {
        "weights": str(path),
        "dataset": entry.name,
        "split": split,
        "count": count,
        "unit": task.unit(fed.preprocess),
        "metrics": metrics,
    }
