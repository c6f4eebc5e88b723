"""What an import can change for the whole process, to compare before and after."""

from __future__ import annotations

import hashlib
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from typing import Any

import numpy
import torch

__all__ = ["differences", "snapshot"]


def snapshot() -> dict[str, Any]:
    """Return the state of the process, by name."""
    return {
        "the state of `random`": random.getstate(),
        "the state of numpy.random": _digest(str(numpy.random.get_state())),
        "torch's random state": _digest(torch.get_rng_state().tolist()),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch's gradient mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's float32 matmul precision": torch.get_float32_matmul_precision(),
        "the working directory": os.getcwd(),  # noqa: PTH109
        "the environment": dict(os.environ),
        "the root logger": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "the warning filters": [item for item in warnings.filters if item[3] is None],
        "how warnings are shown": warnings.showwarning,
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "sys.excepthook": sys.excepthook,
        "sys.path": list(sys.path),
        "the locale": locale.setlocale(locale.LC_ALL),
        "running threads": sorted(thread.name for thread in threading.enumerate()),
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of what differs, with the variables if it is the environment."""
    changed = [name for name in before if before[name] != after[name]]
    variables = sorted(key for key, _ in before["the environment"].items() ^ after["the environment"].items())
    environment = f"the environment ({', '.join(dict.fromkeys(variables))})"
    return [environment if name == "the environment" else name for name in changed]


def _digest(state: object) -> str:
    return hashlib.sha256(str(state).encode()).hexdigest()
