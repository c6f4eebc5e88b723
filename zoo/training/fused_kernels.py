"""Find out whether torch's fused kernels can update parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Groups = list[dict[str, Any]]


def devices(groups: Groups) -> set[str]:
    """Return the device types of parameters; "other" for parameters that fused kernels cannot update."""
    return {p.device.type if _is_plain(p) else "other" for group in groups for p in group["params"]}


def _is_plain(parameter: Tensor) -> bool:
    """Return whether fused kernels can update a parameter: they require dense memory."""
    like = torch.empty_like(parameter, device="meta")  # dense, in the same order of dimensions
    return parameter.is_floating_point() and like.stride() == parameter.stride()
