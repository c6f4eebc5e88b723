"""A user's request for an analysis: what to analyze, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from zoo.config.train_config import PrecisionName
from zoo.data.opening import default_split, open_fed, split_name
from zoo.errors import OptionError
from zoo.evaluation.inputs import Inputs, of_own, of_split
from zoo.files.cards import Card
from zoo.interfaces import Dataset, Reference, Split, Task, make_task
from zoo.models.windows import context_of
from zoo.registry.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to analyze and how; `zoo.Model.analyze` documents each field."""

    inputs: object = None
    split: Split | None = None
    indices: Sequence[int] | None = None
    dataset: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    classes: Sequence[str] = ()
    layer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    precision: PrecisionName = "fp32"


def read_inputs(
    request: Request,
    card: Card,
    registry: Registry,
    *,
    reference: Split | Literal[""],
    device: str,
    report: Callable[[int, int], None],
) -> tuple[Inputs, Reference | None, dict[str, Any]]:
    """Return the inputs, the reference to compare them with, and a description of their source.

    Args:
        reference: the split to compare with; empty if there is none.

    Raises OptionError if both inputs and a split are given. Errors from opening them are also raised.
    """
    task = make_task(registry, card.task)
    context = context_of(card, registry)

    def fed_with(inputs: Inputs) -> Inputs:
        return replace(inputs, context=context, device=device, report=report)

    if request.inputs is None:
        fed, facts = _opened(request, task, card, registry, whole=request.split is None and not reference)
        split = request.split or default_split(fed)
        inputs = fed_with(of_split(card, task, fed, split, request.indices))
        source: dict[str, Any] = {"split": split_name(fed, split), **facts}
        is_part = split == reference
        if not reference:
            return inputs, None, source
    else:
        names_data = (request.dataset or request.data) and not reference
        if request.split or request.indices is not None or names_data:
            raise OptionError("pass either inputs or a split of the data, not both")
        inputs = fed_with(of_own(card, task, request.inputs))
        source = {"inputs": [each.name for each in inputs.sources]}
        if not reference:
            return inputs, None, source
        fed, facts = _opened(request, task, card, registry, whole=False)
        is_part = False
    others = fed_with(of_split(card, task, fed, reference, None))
    numbers = range(len(others.names)) if request.indices is None else request.indices
    among = numbers if is_part else ()
    compared = Reference(batches=others, names=others.names, inputs=among)
    return inputs, compared, source | {"reference": {**facts, "split": reference}}


def _opened(
    request: Request, task: Task, card: Card, registry: Registry, *, whole: bool
) -> tuple[Dataset, dict[str, Any]]:
    """Return the requested data as the model reads it, with a description."""
    opened, fed = open_fed(card, task, registry, dataset=request.dataset, data=request.data, whole=whole)
    return fed, {"dataset": opened.name, "data": dict(request.data), "fingerprint": fed.fingerprint}


def title_of(weights: str, card: Card, source: Mapping[str, Any]) -> str:
    """Describe the model and its inputs, such as `cifar10-resnet20 on images/cifar10, test split`."""
    path = Path(weights)
    model = path.parent.name if path.stem in ("model", "best") else path.stem
    if "dataset" in source:
        inputs = source["dataset"] + (f", {source['split']} split" if source["split"] != "all" else "")
    else:
        first, *others = (Path(name).name for name in source["inputs"])
        inputs = f"{first} and {len(others)} more" if others else first
    return f"{model or card.architecture} on {inputs}"
