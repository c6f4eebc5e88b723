"""What a model costs: parameters, and floating-point operations of one forward pass."""

from __future__ import annotations

import torch

from zoo.errors import SpecError, first_line
from zoo.interfaces import Task
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec, TaskSpec

__all__ = ["measure_cost"]


def measure_cost(entry: Entry[ArchitectureSpec], spec: TaskSpec, task: Task) -> dict[str, int]:
    """Return `parameters`, and `flops` of one item's forward pass, at the task's usual dims.

    Nothing is computed: the model is built on torch's meta device.

    Raises SpecError if that fails.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = build_model(entry, model_arguments(entry, spec, spec.dims, {})).eval()
        item = task.example(spec.dims)
    with FlopCounterMode(display=False) as counter:
        try:
            model(item)
        except Exception as error:
            raise SpecError(f"{entry.name} cannot run on torch's meta device: {first_line(error)}") from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "flops": counter.get_total_flops()}
