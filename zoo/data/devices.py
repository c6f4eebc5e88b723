"""Copy tensors from host memory to a device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(tensor: Tensor, device: str | torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Copy a host tensor to a device, and convert it there if a dtype is given.

    A copy from pageable memory waits until the GPU is idle, so the tensor is first copied to pinned memory.
    The pinned copy is contiguous, since a tensor with gaps cannot be copied directly either.
    """
    if tensor.device == torch.device(device) and dtype in (None, tensor.dtype):
        return tensor
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = torch.empty_like(tensor, pin_memory=True).copy_(tensor).to(device, non_blocking=True)
    return tensor.to(device, dtype or tensor.dtype)
