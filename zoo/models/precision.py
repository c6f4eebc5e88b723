"""In what precision a pass runs."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

from zoo.errors import OptionError

__all__ = ["autocast", "pick_device", "resolve"]

Precision = Literal["fp32", "bf16", "fp16"]


def pick_device(name: str | None) -> str:
    """Return a device by name, by default a GPU. Raises OptionError naming what there is."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    here = ["cpu", accelerator.type] if accelerator else ["cpu"]
    chosen = name or ("cuda" if "cuda" in here else "cpu")
    if chosen.partition(":")[0] not in here:
        raise OptionError(f"there is no device {chosen!r}; this machine has {' and '.join(here)}")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # such as a second GPU where there is one
        first = str(error).split("\n")[0]
        raise OptionError(f"device {chosen!r} cannot be used: {first}", hint="try --device cpu") from None
    return chosen


def resolve(precision: str, device: str) -> Precision:
    """Turn `auto` into bf16 where the device multiplies it faster than fp32, else into fp32.

    Raises OptionError for fp16 on a CPU.
    """
    if precision == "fp16" and torch.device(device).type == "cpu":
        raise OptionError("precision fp16 is for GPUs", hint="on a CPU use --train precision=bf16, or fp32")
    if precision not in ("auto", "fp32", "bf16", "fp16"):
        raise OptionError(f"there is no precision {precision!r}; there are auto, fp32, bf16 and fp16")
    if precision != "auto":
        return precision  # pyright: ignore[reportReturnType]
    if torch.device(device).type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif torch.device(device).type == "cpu":
        can = torch.cpu.get_capabilities()
        fast = bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))
    else:
        fast = False
    return "bf16" if fast else "fp32"


def autocast(precision: Precision, device: str) -> contextlib.AbstractContextManager[object]:
    """Return a context in which matrix products and convolutions run in `precision`."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16 if precision == "bf16" else torch.float16)
