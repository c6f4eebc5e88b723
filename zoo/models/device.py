"""The device of a computation."""

from __future__ import annotations

import os

import torch

from zoo.errors import OptionError, first_line


def pick_device(name: str | None) -> str:
    """Return a device by name; by default, a GPU if there is one. Raises OptionError if it is missing.

    cuBLAS is deterministic only with a fixed workspace size. PyTorch reads this size once per process, at the
    first matrix product, so it is set here, even if the first training run need not be deterministic.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    here = ["cpu", accelerator.type] if accelerator else ["cpu"]
    chosen = name or (here[-1] if here[-1] in ("cuda", "mps") else "cpu")
    if chosen.partition(":")[0] not in here:
        raise OptionError(f"device {chosen!r} is not available; available devices: {', '.join(here)}")
    if chosen.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # such as a second GPU where there is only one
        reason = first_line(error)
        raise OptionError(f"device {chosen!r} cannot be used: {reason}", hint="try --device cpu") from None
    return chosen
