"""The cost of a model: parameters, and floating-point operations of one forward pass."""

from __future__ import annotations

from typing import Any

import torch

from zoo.errors import SpecError, first_line
from zoo.interfaces import Task
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec, TaskSpec


def measure_cost(entry: Entry[ArchitectureSpec], spec: TaskSpec, task: Task) -> dict[str, Any]:
    """Return `parameters`, the `flops` of one item's forward pass, and `measured_at`, the model's dims.

    The dims are the task's usual ones, with larger images if the model requires them. No tensors are
    computed: the model is built on torch's meta device.

    Raises SpecError if the model cannot be built or run there.
    """
    from torch.utils.flop_counter import FlopCounterMode

    dims = dict(spec.dims)
    if "image_size" in dims:
        dims["image_size"] = max(dims["image_size"], entry.spec.smallest_image)
    with torch.device("meta"):
        model = build_model(entry, model_arguments(entry, spec, dims, {})).eval()
        item = task.example(dims).to("meta")  # it may come from NumPy
    with FlopCounterMode(display=False) as counter:
        try:
            model(item)
        except Exception as error:
            raise SpecError(f"{entry.name} cannot run on torch's meta device: {first_line(error)}") from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"measured_at": dims, "parameters": parameters, "flops": counter.get_total_flops()}
