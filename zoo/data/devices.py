"""From the host's memory to a device, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(tensor: Tensor, device: str | torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor of the host on a device, there converted to a dtype if one is given.

    Memory of the host that the operating system may move is copied only once a GPU has nothing left to do; so
    it is copied to memory that stays in place first, without gaps: a copy of those is not direct either.
    """
    if tensor.device == torch.device(device) and dtype in (None, tensor.dtype):
        return tensor
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = torch.empty_like(tensor, pin_memory=True).copy_(tensor).to(device, non_blocking=True)
    return tensor.to(device, dtype or tensor.dtype)
