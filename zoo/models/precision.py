"""The device to compute on, and the precision to compute in."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

from zoo.errors import OptionError, first_line

__all__ = ["autocast", "pick_device", "resolve"]

Precision = Literal["fp32", "bf16", "fp16"]


def pick_device(name: str | None) -> str:
    """Return a device by name, or a GPU if there is one. Raises OptionError for a missing device."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    here = ["cpu", accelerator.type] if accelerator else ["cpu"]
    chosen = name or ("cuda" if "cuda" in here else "cpu")
    if chosen.partition(":")[0] not in here:
        raise OptionError(f"there is no device {chosen!r}; this machine has {' and '.join(here)}")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # such as a second GPU where there is only one
        reason = first_line(error)
        raise OptionError(f"device {chosen!r} cannot be used: {reason}", hint="try --device cpu") from None
    return chosen


def resolve(precision: str, device: str) -> Precision:
    """Resolve `auto`: bf16 if the device multiplies it faster than fp32, else fp32.

    Raises OptionError for fp16 on a CPU.
    """
    kind = torch.device(device).type
    if precision == "fp16" and kind == "cpu":
        raise OptionError("precision fp16 requires a GPU", hint="on a CPU, use precision bf16 or fp32")
    if precision in ("fp32", "bf16", "fp16"):
        return precision
    if precision != "auto":
        raise OptionError(f"precision must be auto, fp32, bf16 or fp16 (got {precision!r})")
    fast = False
    if kind == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif kind == "cpu":
        can = torch.cpu.get_capabilities()
        fast = any(can.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16" if fast else "fp32"


def autocast(precision: Precision, device: str) -> contextlib.AbstractContextManager[object]:
    """Return a context in which matrix products and convolutions run in `precision`."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16 if precision == "bf16" else torch.float16)
