"""Check that all parameters are finite, and all buffers that were finite when the model was built."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn


def infinite_buffers(model: nn.Module) -> frozenset[str]:
    """Return the names of a new model's buffers that are not finite, such as a mask of -inf."""
    buffers = model.named_buffers(remove_duplicate=False)
    return frozenset(name for name, buffer in buffers if not torch.isfinite(buffer).all())


def not_finite(tensors: Mapping[str, Tensor], infinite: Collection[str] = ()) -> str | None:
    """Return the name of the first tensor that should be finite but is not; read from a GPU only once."""
    names = [name for name in tensors if name not in infinite]
    if not names:
        return None
    device = tensors[names[0]].device
    finite = torch.stack([torch.isfinite(tensors[name]).all().to(device) for name in names]).tolist()
    return None if all(finite) else names[finite.index(False)]
