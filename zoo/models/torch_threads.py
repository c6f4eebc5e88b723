"""The number of threads that torch uses."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from zoo.config.threads import chosen_threads, cores, require_threads


def default_threads() -> int:
    """Return the number of threads to use outside training: one fewer than torch's, at least 1.

    This leaves a core for other work. The number, and therefore the results, do not depend on the load. If
    the user chose a number (`OMP_NUM_THREADS`, or fewer torch threads than cores), or if torch chose one
    thread for two hyper-threads, that number is used.
    """
    threads = torch.get_num_threads()
    return threads if chosen_threads() or threads < cores() else max(1, threads - 1)


@contextmanager
def computing_with(threads: int) -> Generator[None]:
    """Use a number of threads in the `with` block, and restore the old number afterwards.

    Raises OptionError for an unreasonable number for this machine, for example from a forged checkpoint.
    """
    require_threads(threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
