"""The number of threads that torch computes with."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from zoo.config.threads import chosen_threads, cores, require_threads


def default_threads() -> int:
    """Return the number of threads to use outside training: one fewer than torch's, at least 1.

    This leaves a core to other work, and results do not depend on the load. A number that the user chose
    (`OMP_NUM_THREADS`, or fewer torch threads than cores) is kept, and so is torch's own choice of one thread
    for two hyper-threads.
    """
    threads = torch.get_num_threads()
    return threads if chosen_threads() or threads < cores() else max(1, threads - 1)


@contextmanager
def computing_with(threads: int) -> Generator[None]:
    """Compute with a number of threads in the body, and restore the old number afterwards.

    Raises OptionError for more threads than make sense on this machine, such as a number from a forged
    checkpoint.
    """
    require_threads(threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
