"""Check an exported file's inputs and outputs against its card. Torch-free."""

from __future__ import annotations

from zoo.data.vocabulary import WritesText
from zoo.errors import OptionError, UnknownName, WeightsError
from zoo.files.exported import Exported
from zoo.processors import Processor, Scores, TakesItems, make_processor
from zoo.registry.registry import Registry


def require_fitting(exported: Exported, registry: Registry, name: str) -> Processor:
    """Return the processor of an exported file.

    Raises WeightsError if its card and signature do not match.
    """
    card, signature = exported.card, exported.signature
    try:
        processor = make_processor(registry, card.task)
        processor.check_feeding(card.preprocess, card.arguments)
    except UnknownName as error:
        hint = f"the file was written with {card.versions.get('plugin', 'an unknown distribution')}"
        raise WeightsError(
            f"{name} needs the task {card.task}, but no installed plugin provides it", hint=hint
        ) from error
    except OptionError as error:
        raise WeightsError(f"{name}: its card is invalid: {error}", hint=error.hint) from None
    items, answers = signature.inputs[0], signature.outputs[0]
    labels = card.arguments.get(processor.spec.labels[0]) if processor.spec.labels else None
    stateful = isinstance(processor, Scores | WritesText)
    wrong = (items.dtype, items.shape) != _item(processor, card.arguments)
    wrong = wrong or answers.shape[:1] != (None,) or (labels is not None and answers.shape[1:2] != (labels,))
    if wrong or bool(signature.state) > stateful or answers.dtype != "float32":
        raise WeightsError(
            f"{name} has inputs or outputs that do not match its card", hint="export the model again"
        )
    return processor


def _item(processor: Processor, dims: dict[str, int]) -> tuple[str, tuple[int | None, ...]] | None:
    """Return the type and shape of the first input; None if models for the task cannot be exported."""
    if isinstance(processor, Scores | WritesText):
        return "int64", (None,)
    if isinstance(processor, TakesItems):
        item = processor.item(dims)
        return str(item.dtype), (None, *item.shape)
    return None
