"""Verify an imported model: run it on synthetic inputs, and load what is saved."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.api.load_weights import load
from zoo.errors import SpecError, WeightsError, ZooError, cause
from zoo.files.atomic import write_output
from zoo.files.cards import Card
from zoo.interfaces import CarriesState, Task, make_task
from zoo.models.weights import bit_equal, save
from zoo.processors import TakesItems
from zoo.registry.registry import Registry
from zoo.seeds import seed_for

# Synthetic inputs, and the tokens of each if they are sequences
_BATCH, _STEPS = 2, 8


def run_synthetic(module: nn.Module, card: Card, registry: Registry) -> None:
    """Run a model on random inputs.

    Raises SpecError if it fails or returns outputs of the wrong shape, and WeightsError for values that are
    not finite.
    """
    task = make_task(registry, card.task)
    inputs, expected = _inputs(task, card)
    try:
        with torch.inference_mode():
            outputs: Any = module(inputs)
    except ZooError:
        raise
    except Exception as error:
        raise SpecError(f"{card.architecture} cannot run on synthetic inputs: {cause(error)}") from error
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    if not isinstance(outputs, Tensor) or (expected and outputs.shape != expected):
        got = f"{[*outputs.shape]}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise SpecError(f"{card.architecture} must return outputs of shape {[*expected]} (got {got})")
    if not outputs.isfinite().all():
        hint = "a weight may be far too large, or a running variance may be negative"
        raise WeightsError("the outputs of the model for synthetic inputs are not finite", hint=hint)


def _inputs(task: Task, card: Card) -> tuple[Tensor, tuple[int, ...]]:
    """Return random inputs, and the shape of the outputs; () if the task has no labels to count."""
    random = torch.Generator().manual_seed(seed_for(0, "import"))
    labels = task.spec.labels and card.arguments[task.spec.labels[0]]
    if isinstance(task, CarriesState) and labels:
        return torch.randint(labels, (_STEPS, _BATCH), generator=random), (_STEPS, _BATCH, labels)
    if isinstance(task.processor, TakesItems):
        item = torch.from_numpy(task.processor.item(card.arguments))
        shape = (_BATCH, *item.shape)
        items = torch.randint(256, shape, generator=random, dtype=item.dtype)
        if item.is_floating_point():
            items = torch.randn(shape, generator=random, dtype=item.dtype)
        return task.prepare(items, card.preprocess), (_BATCH, labels) if labels else ()
    return torch.zeros_like(task.example(card.arguments)), ()


def write_verified(out: Path, module: nn.Module, card: Card, registry: Registry) -> None:
    """Write a weights file, if a model that is loaded from its content is bit-equal.

    Raises WeightsError if it is not, and OutputError if the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="zoo-import-") as folder:
        first = Path(folder) / out.name
        save(first, module, card)
        again = load(first, device="cpu", progress=False, registry=registry).module
        if changed := _changed(module.state_dict(), again.state_dict()):
            raise WeightsError(f"{changed} changed when the model was saved and loaded again")
        write_output(out, first.read_bytes())


def _changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that is not bit-equal; empty if there is none."""
    names = [name for name in before if name not in after or not bit_equal(before[name], after[name])]
    return next(iter(names), "")
