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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import Lost

__all__ = ["SharedMemory"]

# Bytes that a process writes before the others read them, few enough to stay in a cache; of a short message,
# which each process adds up by itself; and of a cache line
_PIECE, _NOTE, _LINE = 1 << 20, 1 << 15, 64
# What is the same for processes that know each other by the same numbers
_NAMESPACE = Path("/proc/self/ns/pid")
# Seconds that a process waits without sleeping, since in a step one is rarely further behind, and sleeps then
_AWAKE, _ASLEEP = 0.005, 0.001


class SharedMemory:
    """A piece of memory for each process, and one for the result.

    Each process writes a part of its numbers into its own piece, adds up its share of all pieces in the order
    of the processes, and reads the shares of the others: sums are the same in all of them, and in any run.
    Of a short message, each adds up all. It does not wait until the others have, since the next short message
    is written elsewhere, and by the one after that they have.

    Args:
        file: of the size that `size` returns.
        rank: the number of this process, from 0.
        patience: seconds to wait for the others.
    """

    def __init__(self, file: Path, *, rank: int, world: int, patience: float) -> None:
        with file.open("r+b") as opened:
            memory = mmap.mmap(opened.fileno(), self.size(world))
        self._rank, self._world, self._patience = rank, world, patience
        # How often each process has met the others, its process id and where that is one: a line for each
        table = np.frombuffer(memory, np.int64, world * _LINE // 8).reshape(world, -1)
        self._meetings, self._pids, self._places, self._met = table[:, 0], table[:, 1], table[:, 2], 0
        table_size, notes_size = world * _LINE, 2 * world * _NOTE
        notes = torch.frombuffer(memory, dtype=torch.uint8, offset=table_size, count=notes_size)
        pieces = torch.frombuffer(memory, dtype=torch.uint8, offset=table_size + notes_size)
        self._notes, self._turn = notes.view(2, world, _NOTE), 0
        *self._pieces, self._result = pieces.view(world + 1, _PIECE)
        self._pids[rank], self._places[rank] = os.getpid(), _NAMESPACE.stat().st_ino

    @staticmethod
    def size(world: int) -> int:
        """Return how many bytes so many processes need."""
        return world * _LINE + 2 * world * _NOTE + (world + 1) * _PIECE

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

        Raises Lost if another process has ended.
        """
        if not tensors:
            return
        width = tensors[0].element_size()
        short = sum(map(len, tensors)) * width <= _NOTE
        for parts in _cut(tensors, _PIECE // width):
            result = self._note(parts, combine) if short else self._piece(parts, combine)
            for part, combined in zip(parts, result.split([*map(len, parts)]), strict=True):
                part.copy_(combined)

    def _note(self, parts: list[Tensor], combine: Callable[..., Tensor]) -> Tensor:
        """Return the result of a short message."""
        size, self._turn = sum(part.nbytes for part in parts), 1 - self._turn
        notes = [note[:size].view(parts[0].dtype) for note in self._notes[self._turn]]
        torch.cat(parts, out=notes[self._rank])
        self._meet()
        result = notes[0].clone()
        for other in notes[1:]:
            combine(result, other, out=result)
        return result

    def _piece(self, parts: list[Tensor], combine: Callable[..., Tensor]) -> Tensor:
        """Return the result of a piece of a message, in memory that the next piece changes."""
        size = sum(part.nbytes for part in parts)
        pieces = [piece[:size].view(parts[0].dtype) for piece in (*self._pieces, self._result)]
        torch.cat(parts, out=pieces[self._rank])
        self._meet()
        first, *others, result = (piece.tensor_split(self._world)[self._rank] for piece in pieces)
        result.copy_(first)
        for other in others:
            combine(result, other, out=result)
        self._meet()
        return pieces[-1]

    def _meet(self) -> None:
        """Wait until every process has come here as often as this one."""
        self._met += 1
        self._meetings[self._rank] = self._met
        for other in range(self._world):
            began = time.monotonic()
            while self._meetings[other] < self._met:
                waited = time.monotonic() - began
                if waited < _AWAKE:
                    os.sched_yield()
                    continue
                time.sleep(_ASLEEP)
                alive = _runs(int(self._pids[other])) or self._meetings[other] >= self._met
                if waited > self._patience or not alive:
                    raise Lost


def _cut(tensors: Iterable[Tensor], most: int) -> Iterator[list[Tensor]]:
    """Yield tensors in lists with at most so many numbers; those that do not fit are cut."""
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
