"""Divide a batch among processes. Torch-free."""

from __future__ import annotations


def part_of(count: int, *, rank: int, world_size: int) -> tuple[slice, float]:
    """Return the slice of a batch that a process reads, and the slice's share of the batch.

    The parts are contiguous, and their sizes differ by at most one. If a batch has fewer items than there are
    processes, each process uses all items, since a model may not support empty batches. In this case, only
    the first process's items count; the other processes have a share of 0.

    >>> part_of(10, rank=1, world_size=3)
    (slice(3, 6, None), 0.3)
    """
    if count < world_size:
        return slice(0, count), 1.0 if rank == 0 else 0.0
    start, stop = count * rank // world_size, count * (rank + 1) // world_size
    return slice(start, stop), (stop - start) / count
