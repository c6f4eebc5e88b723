"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from zoo.config.threads import chosen_threads, cores
from zoo.errors import OptionError

__all__ = ["computing_with", "default_threads"]

# A run may continue on a machine with fewer cores than the one it began on, with as many threads as before
_MOST = 64
_MOST_PER_CORE = 4


def default_threads() -> int:
    """Return how many threads to compute with outside of a training: one fewer than torch's, at least 1.

    Other work then has a core, and results do not depend on the load. A number that the user chose
    (`OMP_NUM_THREADS`, or fewer threads in torch than there are cores) is kept, and so is torch's own choice
    of one thread for two hyper-threads.
    """
    threads = torch.get_num_threads()
    return threads if chosen_threads() or threads < cores() else max(1, threads - 1)


@contextmanager
def computing_with(threads: int) -> Generator[None]:
    """Compute with a number of threads inside; afterwards with as many as before.

    Raises OptionError for more threads than make sense on this machine, such as those of a forged checkpoint.
    """
    before = torch.get_num_threads()
    most = max(_MOST, _MOST_PER_CORE * cores())
    if threads > most:
        message = f"threads must be at most {most}, since this machine has {cores()} cores (got {threads:,})"
        raise OptionError(message, hint="--threads takes fewer; another number rounds differently")
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
