"""Sums and the like over the processes of one machine, through memory that they share.

gloo, which works between any machines, sends each message through sockets and threads of its own. Beside
processes that compute on every core, that takes milliseconds even for one number, and a step has several.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import Lost, SpecError

__all__ = ["SharedMemory"]

# Bytes that a process writes before the others read them, few enough to stay in a cache; of a short message;
# and of a cache line
_PIECE, _NOTE, _LINE = 1 << 20, 1 << 15, 64
# What is the same for processes that know each other by the same numbers
_NAMESPACE = Path("/proc/self/ns/pid")
# Seconds that a process waits without sleeping, since in a step one is rarely further behind, and sleeps then
_AWAKE, _ASLEEP = 0.005, 0.001


class SharedMemory:
    """Two pieces of memory for each process, written by turns, and one for results.

    Each process writes as many of its numbers as a piece holds. If they are few, or there are two processes,
    each then adds up the numbers of all. It does not wait until the others have done so: the next numbers
    are written elsewhere, and before the ones after those, all have met again. Otherwise each adds up a
    share, and reads the shares of the others. All add up in the order of the processes, so sums are the same
    in all of them, and in any run.

    Args:
        file: of the size that `size` returns.
        rank: the number of this process, from 0.
        patience: seconds to wait for the others.
    """

    def __init__(self, file: Path, *, rank: int, world: int, patience: float) -> None:
        with file.open("r+b") as opened:
            memory = mmap.mmap(opened.fileno(), self.size(world))
        self._rank, self._world, self._patience = rank, world, patience
        # How often each process has met the others, its process id, where that is one, and the sizes of what
        # it has written: a line for each
        table = np.frombuffer(memory, np.int64, world * _LINE // 8).reshape(world, -1)
        self._meetings, self._pids, self._places, self._met = table[:, 0], table[:, 1], table[:, 2], 0
        rest = torch.frombuffer(memory, dtype=torch.uint8, offset=world * _LINE)
        *pieces, self._result = rest.split(_PIECE)
        # What each process has written, and how many bytes
        self._now, self._next = (pieces[:world], table[:, 3]), (pieces[world:], table[:, 4])
        self._pids[rank], self._places[rank] = os.getpid(), _NAMESPACE.stat().st_ino

    @staticmethod
    def size(world: int) -> int:
        """Return how many bytes so many processes need."""
        return world * _LINE + (2 * world + 1) * _PIECE

    @classmethod
    def create(cls, world: int) -> Path | None:
        """Return a file of the right size in memory, which is to be removed once all have opened it.

        None if there is no room, or if another process may see what this one writes in another order.
        """
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return None
        try:
            handle, path = tempfile.mkstemp(prefix="zoo-", dir="/dev/shm")
        except OSError:
            return None
        try:
            os.posix_fallocate(handle, 0, cls.size(world))  # rather than fail when it is written
        except OSError:
            Path(path).unlink()
            return None
        finally:
            os.close(handle)
        return Path(path)

    def is_usable(self) -> bool:
        """Return whether all processes, once they have opened the file, can see which of them are alive.

        Containers may share the memory and no more.
        """
        return len({*self._places.tolist()}) == 1

    def leave(self) -> None:
        """Let the others no longer wait for this process."""
        self._pids[self._rank] = 0

    def reduce(self, tensors: Sequence[Tensor], combine: Callable[..., Tensor]) -> None:
        """Combine tensors with those of the other processes, in place: by `torch.add`, for sums.

        They are on the CPU, of one dimension and one dtype, as long in all processes, and one message.

        Raises Lost if another process has ended, and SpecError if one has sent more or less than another.
        """
        if not tensors:
            return
        dtype = tensors[0].dtype
        for parts in _cut(tensors, _PIECE // dtype.itemsize):
            lengths = [*map(len, parts)]
            size = sum(lengths) * dtype.itemsize
            self._now, self._next = self._next, self._now
            pieces, sizes = [piece[:size].view(dtype) for piece in self._now[0]], self._now[1]
            torch.cat([*parts], out=pieces[self._rank])
            sizes[self._rank] = size
            self._meet()
            if (sizes != size).any():
                raise _not_the_same()
            if self._world == 2 or size <= _NOTE:
                for part, *all_parts in zip(parts, *(_split(each, lengths) for each in pieces), strict=True):
                    _combine(all_parts, combine, part)
                continue
            result = self._result[:size].view(dtype)
            share, *shares = (each.tensor_split(self._world)[self._rank] for each in (result, *pieces))
            _combine(shares, combine, share)
            self._meet()
            for part, combined in zip(parts, _split(result, lengths), strict=True):
                part.copy_(combined)

    def _meet(self) -> None:
        """Wait until every process has come here as often as this one."""
        self._met += 1
        self._meetings[self._rank] = self._met
        for other in range(self._world):
            began = time.monotonic()
            slept = 0.0  # counted, since all may be stopped for a while, in which the clock goes on
            while self._meetings[other] < self._met:
                if time.monotonic() - began < _AWAKE:
                    os.sched_yield()
                    continue
                time.sleep(_ASLEEP)
                slept += _ASLEEP
                if not _runs(int(self._pids[other])) and self._meetings[other] < self._met:
                    raise Lost
                if slept > self._patience:
                    raise Lost(waited=self._patience)


def _not_the_same() -> SpecError:
    message = "the processes of the training do not compute the same layers"
    hint = "if the model skips BatchNorm at random, use --no-sync-batch-norm, or one process"
    return SpecError(message, hint=hint)


def _combine(tensors: Sequence[Tensor], combine: Callable[..., Tensor], result: Tensor) -> None:
    """Combine two tensors or more, in their order."""
    combine(*tensors[:2], out=result)
    for tensor in tensors[2:]:
        combine(result, tensor, out=result)


def _split(tensor: Tensor, lengths: list[int]) -> Sequence[Tensor]:
    """Return parts of such lengths."""
    return tensor.split(lengths) if len(lengths) > 1 else [tensor]


def _cut(tensors: Sequence[Tensor], most: int) -> Iterator[Sequence[Tensor]]:
    """Yield tensors in lists with at most so many numbers; those that do not fit are cut."""
    if sum(map(len, tensors)) <= most:
        yield tensors
        return
    parts, room = list[Tensor](), most
    for tensor in tensors:
        rest = tensor
        while len(rest):
            parts.append(rest[:room])
            room, rest = room - len(parts[-1]), rest[room:]
            if not room:
                yield parts
                parts, room = [], most
    if parts:
        yield parts


def _runs(pid: int) -> bool:
    """Return whether a process is there, and not only waiting for its parent to hear that it ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
