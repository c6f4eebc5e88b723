"""Choose the number of CPU threads. Does not import torch."""

from __future__ import annotations

import os
import sys

from zoo.errors import OptionError

# Seconds for which the cores are watched before a training
_WATCHED = 0.1
# A run may continue on a machine with fewer cores than the one it began on, with as many threads as before
_MOST = 64
_MOST_PER_CORE = 4


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen_threads() -> int:
    """Return the value of $OMP_NUM_THREADS, or 0 if it is not set."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isdecimal() else 0


def require_threads(threads: int) -> None:
    """Raise OptionError for far more threads than this machine has cores."""
    most = max(_MOST, _MOST_PER_CORE * cores())
    if threads > most:
        message = f"threads must be at most {most}, since this machine has {cores()} cores (got {threads:,})"
        raise OptionError(message, hint="lower --threads; results may change slightly because of rounding")


def idle_threads(processes: int = 1) -> int:
    """Return the number of idle cores, but at least 1.

    Training steps of small networks are short, and each step waits for its slowest thread, so a thread on a
    busy core delays all others. If the user has set $OMP_NUM_THREADS, or fewer torch threads than cores, that
    number is returned regardless of the load. Two hyper-threads count as one core. In distributed training,
    the processes share the cores equally.
    """
    import psutil

    most = min(cores(), psutil.cpu_count(logical=False) or cores())
    torch = sys.modules.get("torch")  # None where it is not imported yet, and where it must not be
    in_torch = torch.get_num_threads() if torch else most
    if chosen := chosen_threads() or (in_torch if in_torch < most else 0):
        return chosen
    if processes > 1:
        return max(1, most // processes)
    busy = psutil.cpu_percent(_WATCHED, percpu=True)
    if hasattr(os, "sched_getaffinity"):
        busy = [percent for core, percent in enumerate(busy) if core in os.sched_getaffinity(0)] or busy
    return max(1, round(most * (1 - sum(busy) / len(busy) / 100)))
