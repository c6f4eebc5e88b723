"""The precision of a computation."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Literal

import torch
from torch import Tensor
from torch.backends import cudnn

from zoo.config.train_config import PrecisionName
from zoo.errors import OptionError
from zoo.models.recurrent import SingleLSTMs

Precision = Literal["fp32", "bf16", "fp16"]


def resolve(precision: PrecisionName, device: str) -> Precision:
    """Resolve `auto`: bf16 if the device multiplies bf16 matrices faster than fp32 matrices, else fp32.

    Raises OptionError for fp16 on a CPU.
    """
    kind = torch.device(device).type
    if precision == "fp16" and kind == "cpu":
        raise OptionError("precision fp16 requires a GPU", hint="on a CPU, use precision bf16 or fp32")
    if precision != "auto":
        return precision
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
    kind, dtype = torch.device(device).type, torch.bfloat16 if precision == "bf16" else torch.float16
    if kind == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return _autocast_but_for_lstms(dtype)
    return torch.autocast(kind, dtype)


@contextlib.contextmanager
def _autocast_but_for_lstms(dtype: torch.dtype) -> Generator[None]:
    with torch.autocast("cpu", dtype), SingleLSTMs():
        yield


@contextlib.contextmanager
def kernels(device: str, *, deterministic: bool) -> Generator[None]:
    """In the `with` block, let a GPU use its fastest kernels, with TF32 for fp32, or only deterministic ones.

    With only deterministic kernels, an operation that has none raises RuntimeError. torch's settings are
    restored afterwards. Other devices are not affected: results on a CPU are deterministic anyway.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    precision, mode = torch.get_float32_matmul_precision(), (cudnn.benchmark, cudnn.allow_tf32)
    checked = torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_float32_matmul_precision("highest" if deterministic else "high")
        cudnn.benchmark, cudnn.allow_tf32 = not deterministic, not deterministic
        if deterministic:
            torch.use_deterministic_algorithms(True)
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.benchmark, cudnn.allow_tf32 = mode
        torch.use_deterministic_algorithms(checked)


def exact(tensor: Tensor) -> Tensor:
    """Return a detached tensor in double precision, or in single precision if the device lacks double."""
    return tensor.detach().to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def on_device(tensor: Tensor, device: str) -> Tensor:
    """Move a tensor to a device, in single precision if the device does not support double precision."""
    lacks = tensor.dtype == torch.float64 and torch.device(device).type == "mps"
    return tensor.to(device, torch.float32 if lacks else tensor.dtype)
