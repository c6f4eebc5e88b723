"""Whether an exported file takes and gives what its card says."""

from __future__ import annotations

from zoo.errors import OptionError, UnknownName, WeightsError
from zoo.files.exported import Exported
from zoo.interfaces import CarriesState, PreparesInputs, Task, make_task
from zoo.registry.registry import Registry

__all__ = ["require_fitting"]


def require_fitting(exported: Exported, registry: Registry, name: str) -> Task:
    """Return the task of an exported file. Raises WeightsError if its card and its signature do not agree."""
    card, signature = exported.card, exported.signature
    try:
        task = make_task(registry, card.task)
        task.check_feeding(card.preprocess, card.arguments)
    except UnknownName as error:
        hint = f"its card says it was written with {card.versions.get('plugin', 'an unknown distribution')}"
        raise WeightsError(f"{name} is for {card.task}, which no plugin provides", hint=hint) from error
    except OptionError as error:
        raise WeightsError(f"{name}: its card is wrong: {error}") from None
    items, answers = signature.inputs[0], signature.outputs[0]
    labels = card.arguments.get(task.spec.labels[0]) if task.spec.labels else None
    wrong = (items.dtype, items.shape) != _item(task, card.arguments)
    wrong = wrong or answers.shape[:1] != (None,) or (labels is not None and answers.shape[1:2] != (labels,))
    if wrong or bool(signature.state) > isinstance(task, CarriesState) or answers.dtype != "float32":
        raise WeightsError(f"{name} does not take or give what its card says", hint="export the model again")
    return task


def _item(task: Task, dims: dict[str, int]) -> tuple[str, tuple[int | None, ...]] | None:
    """Return the type and shape of the first input; None if models for the task cannot be exported."""
    if isinstance(task, CarriesState):
        return "int64", (None,)
    if isinstance(task, PreparesInputs):
        item = task.item(dims)
        return str(item.dtype).removeprefix("torch."), (None, *item.shape)
    return None
