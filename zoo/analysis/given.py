"""What an analyzer looks at, and what it compares that with, if it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from zoo.data.opening import default_split, open_fed, split_name
from zoo.errors import OptionError
from zoo.evaluation.inputs import Inputs, of_own, of_split
from zoo.files.cards import Card
from zoo.interfaces import Reference, Split, Subject, make_task
from zoo.models.windows import context_of
from zoo.registry.registry import Registry

__all__ = ["Given", "look_up"]


class Given(NamedTuple):
    """What is to be analyzed, as the user says it.

    Attributes:
        inputs: inputs of the user's own; None for a split.
        reference: the split to compare it with; empty if there is none.
    """

    inputs: object
    split: Split | None
    indices: Sequence[int] | None
    dataset: str | None
    data: Mapping[str, Any]
    reference: Split | Literal[""]


def look_up(
    subject: Subject,
    weights: str,
    card: Card,
    registry: Registry,
    given: Given,
    *,
    device: str,
    report: Callable[[int, int], None],
) -> tuple[Subject, Inputs, dict[str, Any]]:
    """Return a subject that knows its inputs and what to compare them with, the inputs, and their source.

    Raises OptionError if both inputs and a split are given, and what opening either raises.
    """
    inputs, reference, source = _inputs(card, registry, given, device=device, report=report)
    title, names = _title(weights, card, source), tuple(inputs.names)
    return dataclasses.replace(subject, title=title, names=names, reference=reference), inputs, source


def _inputs(
    card: Card, registry: Registry, given: Given, *, device: str, report: Callable[[int, int], None]
) -> tuple[Inputs, Reference | None, dict[str, Any]]:
    """Return inputs or a split as the model reads them, what to compare them with, and their source."""
    task = make_task(registry, card.task)
    on: Any = {"context": context_of(card, registry), "device": device, "report": report}
    names_data = given.dataset or given.data
    own = given.inputs is not None
    if own and (given.split or given.indices is not None or (names_data and not given.reference)):
        raise OptionError("give either inputs or a split of the data, not both")
    inputs, source, split = None, dict[str, Any](), None
    if own:
        inputs = of_own(card, task, given.inputs, **on)
        source = {"inputs": [each.name for each in inputs.sources]}
        if not given.reference:
            return inputs, None, source
    whole = given.split is None and not given.reference
    opened, fed = open_fed(card, task, registry, dataset=given.dataset, data=given.data, whole=whole)
    facts = {"dataset": opened.name, "data": dict(given.data), "fingerprint": fed.fingerprint}
    if inputs is None:
        split = given.split or default_split(fed)
        inputs = of_split(card, task, fed, split, given.indices, **on)
        source = {"split": split_name(fed, split), **facts}
    if not given.reference:
        return inputs, None, source
    others = of_split(card, task, fed, given.reference, None, **on)
    numbers = range(len(others.names)) if given.indices is None else given.indices
    among = numbers if split == given.reference else ()
    reference = Reference(batches=others, names=others.names, inputs=among)
    return inputs, reference, source | {"reference": {**facts, "split": given.reference}}


def _title(weights: str, card: Card, source: Mapping[str, Any]) -> str:
    """Return the model and its inputs in words, such as `cifar10-resnet20 on images/cifar10, test split`."""
    path = Path(weights)
    model = path.parent.name if path.stem in ("model", "best") else path.stem
    if "dataset" in source:
        inputs = source["dataset"] + (f", {source['split']} split" if source["split"] != "all" else "")
    else:
        first, *others = (Path(name).name for name in source["inputs"])
        inputs = f"{first} and {len(others)} more" if others else first
    return f"{model or card.architecture} on {inputs}"
