"""How many threads to compute with."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch

from zoo.errors import OptionError

__all__ = ["computing_with", "default_threads"]

# A run may continue on a machine with fewer cores than the one it began on, with as many threads as before
_MOST = 64
_MOST_PER_CORE = 4


def default_threads(processes: int = 1) -> int:
    """Return one thread fewer than torch would use, at least 1, so that other work can have a core.

    Several processes of a training divide the cores among them.

    The steps of a small network are short, and each ends when its slowest thread does: a thread whose core is
    busy with something else holds up all others. A number that the user chose (`OMP_NUM_THREADS`, or fewer
    threads in torch than there are cores) is kept, and so is torch's own choice of one thread for two
    hyper-threads.
    """
    threads, cores = torch.get_num_threads(), _cores()
    chosen = threads < cores or "OMP_NUM_THREADS" in os.environ
    if chosen:
        return threads
    return max(1, cores // processes if processes > 1 else threads - 1)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def computing_with(threads: int) -> Generator[None]:
    """Compute with a number of threads inside; afterwards with as many as before.

    Raises OptionError for more threads than make sense on this machine, such as those of a forged checkpoint.
    """
    cores, before = _cores(), torch.get_num_threads()
    most = max(_MOST, _MOST_PER_CORE * cores)
    if threads > most:
        message = f"threads must be at most {most}, since this machine has {cores} cores (got {threads:,})"
        raise OptionError(message, hint="--threads takes fewer; another number rounds differently")
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
