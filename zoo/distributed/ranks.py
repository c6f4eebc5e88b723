"""One run in several processes, as torchrun starts them.

Each process makes the same weights from the same gradient: every batch is divided among them (see
`zoo.data.parts`), and the gradients of the parts are added up before each step. The first process, rank 0,
owns the run directory, and speaks. What one of them decides by a clock or a signal, all agree on.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import distributed_c10d as c10d
from torch.distributed.rendezvous import rendezvous

from zoo.data.parts import part_of
from zoo.distributed.parent import end_with
from zoo.distributed.shared_memory import SharedMemory
from zoo.errors import Lost, OptionError, RunError

__all__ = ["ALONE", "Ranks", "joined"]

# How long a process waits for the others: once all have met, since a first one may have a large dataset to
# prepare; and before that and in the training, by default
_TO_BEGIN, _TO_GO_ON = timedelta(minutes=30), timedelta(minutes=10)
# Variables that torchrun sets: the place of the first process among those of a machine and of all, and where
# it can be reached
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_PLACE = ("MASTER_ADDR", "MASTER_PORT")
_MEETINGS = itertools.count()
T = TypeVar("T")


class Ranks:
    """This process among those of a run. A collective call waits until all have made it.

    Args:
        rank: its number, from 0.
        world: how many there are.
        local: how many of them this machine has.

    Attributes:
        copies: how many processes have each item of the batch: all, if it has fewer items than they are.

    Each collective method raises Lost if another process has ended.
    """

    def __init__(self, rank: int = 0, world: int = 1, local: int = 1) -> None:
        self.rank, self.world, self.local = rank, world, local
        self.copies = 1
        self._wait = _TO_BEGIN
        self._group: dist.ProcessGroup | None = None
        self._memory: SharedMemory | None = None

    def begun(self) -> None:
        """From here on, wait for the others for 10 minutes at most, or `$ZOO_PATIENCE` seconds."""
        if self.world == 1:
            return
        self.largest(0)  # until the last one has set up
        self._wait = _patience()
        with _losing(self._wait):
            self._group = cast("dist.ProcessGroup", dist.new_group(timeout=self._wait))
        if self.local == self.world:
            self._memory = self._shared(self._wait.total_seconds())

    def _shared(self, patience: float) -> SharedMemory | None:
        """Return memory that all processes share, if they can."""
        created = SharedMemory.create(self.world) if self.first else None
        try:
            path = self.told(lambda: str(created or ""), str)
            try:
                memory = SharedMemory(Path(path), rank=self.rank, world=self.world, patience=patience)
            except (OSError, ValueError, MemoryError):  # there is none, or this is another container
                memory = None
            (missing,) = self.largest(memory is None)
        finally:
            if created:
                created.unlink()
        return memory if memory and not missing and memory.is_usable() else None

    def left(self) -> None:
        """Let the others no longer wait for this process."""
        if self._memory:
            self._memory.leave()

    @property
    def first(self) -> bool:
        """Whether this process owns the run directory and speaks."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; it may be changed in place."""
        if self.world > 1:
            self._reduce(values, dist.ReduceOp.SUM)
        return values

    def largest(self, *values: int) -> list[int]:
        """Return the largest of each number over all processes; a GPU is not waited for."""
        if self.world == 1:
            return [*values]
        agreed = torch.tensor(values)
        self._reduce(agreed, dist.ReduceOp.MAX)
        return agreed.tolist()

    def _reduce(self, values: Tensor, how: dist.ReduceOp.RedOpType) -> None:
        if self._memory and values.device.type == "cpu":
            combine = torch.add if how == dist.ReduceOp.SUM else torch.maximum
            self._memory.reduce([values.detach().view(-1)], combine)
            return
        with _losing(self._wait):
            dist.all_reduce(values, how, group=self._group)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients, in one message whose layout never changes.

        A parameter that no process has a gradient of gets none. DistributedDataParallel lays its messages out
        anew after the first step, so the sums of a resumed run would be rounded in another order.
        """
        if self.world == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        present = self.largest(*(parameter.grad is not None for parameter in trained))
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        laid = [_as_laid_out(each, like) for each, like in zip(gradients, trained, strict=True)]
        own = [each.reshape(-1) for each in laid]
        dtype = reduce(torch.promote_types, [each.dtype for each in own])
        own = [each.to(dtype) for each in own]  # what is a view of a gradient stays one
        self._add_up(own)
        for each, total in zip(laid, own, strict=True):
            if each.data_ptr() != total.data_ptr():
                each.copy_(total.view_as(each))
        for parameter, gradient, held in zip(trained, gradients, present, strict=True):
            parameter.grad = gradient if held else None

    def _add_up(self, tensors: Sequence[Tensor]) -> None:
        """Give tensors of one dimension the sums over all processes, in one message."""
        if self._memory and tensors[0].device.type == "cpu":
            self._memory.reduce(tensors, torch.add)
        else:
            sums = self.total(torch.cat([*tensors])).split([len(each) for each in tensors])
            for each, total in zip(tensors, sums, strict=True):
                each.copy_(total)

    def told(self, value: Callable[[], T], kind: type[T] | Any) -> T:
        """Return what a function returned in the first process, the only one that calls it.

        Args:
            kind: the type of the value, which msgspec can write as JSON.
        """
        if self.world == 1:
            return value()
        content = msgspec.json.encode(value()) if self.first else b""
        (size,) = self.largest(len(content))
        buffer = torch.frombuffer(bytearray(content or size), dtype=torch.uint8)
        with _losing(self._wait):
            dist.broadcast(buffer, 0, group=self._group)
        return msgspec.json.decode(buffer.numpy().tobytes(), type=kind)

    def given(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the first process's tensors; those of the others do not count."""
        if self.world == 1:
            return dict(tensors)
        held = {name: (str(value.dtype)[6:], [*value.shape]) for name, value in tensors.items()}
        layout = self.told(lambda: held, dict[str, tuple[str, list[int]]])
        got: dict[str, Tensor] = {}
        for name, (dtype, shape) in layout.items():
            made = tensors[name] if self.first else torch.empty(shape, dtype=getattr(torch, dtype))
            got[name] = made.detach().cpu().contiguous()
            if made.numel():
                with _losing(self._wait):
                    dist.broadcast(got[name].view(-1).view(torch.uint8), 0, group=self._group)
        return got

    @contextlib.contextmanager
    def in_turn(self) -> Generator[None]:
        """Run the body in the first process, then in the first of each machine, then in the others.

        One process of a machine then prepares data for the others, and one alone reports an error.
        """
        turn = 0 if self.first else 1 if os.environ.get("LOCAL_RANK") == "0" else 2
        for _ in range(turn):
            self.largest(0)
        yield
        for _ in range(turn, 2):
            self.largest(0)

    def gathered(self, part: Tensor, dim: int, count: int) -> Tensor:
        """Return a tensor of `count` lanes from the lanes of each process, which are along `dim`."""
        parts: list[Tensor] = []
        for rank in range(self.world):
            here, _ = part_of(count, rank=rank, world=self.world)
            shape = [*part.shape[:dim], here.stop - here.start, *part.shape[dim + 1 :]]
            parts.append(part.contiguous() if rank == self.rank else part.new_empty(shape))
            with _losing(self._wait):
                dist.broadcast(parts[-1], rank, group=self._group)
        return torch.cat(parts, dim)

    def own(self, whole: Tensor, dim: int) -> Tensor:
        """Return this process's lanes of a tensor of all, which are along `dim`."""
        here, _ = part_of(whole.shape[dim], rank=self.rank, world=self.world)
        return whole.narrow(dim, here.start, here.stop - here.start).contiguous()


ALONE = Ranks()


@contextlib.contextmanager
def joined(device: str) -> Generator[Ranks]:
    """Meet the other processes that torchrun has started, if it has.

    Raises:
        OptionError: the variables that it sets are incomplete, or are no numbers; or the device is Apple's
            GPU, from which PyTorch sends nothing to other processes.
        RunError: the first process cannot be reached.
        Lost: another process does not come.
    """
    if not _is_one_of_several():
        yield ALONE
        return
    if torch.device(device).type == "mps":
        raise OptionError("several processes cannot train on Apple's GPU", hint="use --device cpu")
    # torchrun gives every attempt the same store, which still has the addresses of processes that died, or
    # that met for an earlier training
    attempt = f"zoo-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}-{next(_MEETINGS)}"
    try:
        store, rank, world = next(rendezvous("env://"))
    except dist.DistNetworkError as error:
        place = ":".join(os.environ[name] for name in _PLACE)
        raise RunError(f"the first process of the training cannot be reached at {place}") from error
    store = c10d.PrefixStore(attempt, store)
    backend = "gloo"
    if torch.device(device).type == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(_own_gpu(device))
    _meet(store, world)
    with _losing(_TO_BEGIN):
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_TO_BEGIN)
    end_with(os.getppid())
    ranks = Ranks(rank, world, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    try:
        yield ranks
    finally:
        ranks.left()
        dist.destroy_process_group()


def _meet(store: c10d.Store, world: int) -> None:
    """Wait until all processes are here: in Python, so that a signal is handled at once. Raises Lost."""
    wait = _patience()
    with _losing(wait):
        store.add("here", 1)
        until = time.monotonic() + wait.total_seconds()
        while store.add("here", 0) < world:
            if time.monotonic() > until:
                raise Lost(waited=wait.total_seconds())
            time.sleep(0.02)


def _is_one_of_several() -> bool:
    """Return whether torchrun has started this process as one of several. Raises as `joined` does."""
    given = {name: os.environ[name] for name in (*_NUMBERS, *_PLACE) if name in os.environ}
    if "RANK" not in given or given.get("WORLD_SIZE", "1") == "1":
        return False
    hint = "torchrun sets it; without torchrun, unset RANK and WORLD_SIZE"
    for name in _PLACE:
        if not given.get(name):
            raise OptionError(f"RANK and WORLD_SIZE are set, but not {name}", hint=hint)
    for name in (*_NUMBERS, "MASTER_PORT"):
        if not given.get(name, "0").isdecimal():
            raise OptionError(f"{name} must be a whole number (got {given[name]!r})", hint=hint)
    rank, world = int(given["RANK"]), int(given["WORLD_SIZE"])
    if rank >= world:
        raise OptionError(f"RANK must be less than WORLD_SIZE={world} (got {rank})", hint=hint)
    return True


def _own_gpu(device: str) -> int:
    """Return the number of this process's GPU. Raises OptionError if the processes cannot have one each."""
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if ":" in device:
        message = f"several processes choose a GPU each (got device {device})"
        raise OptionError(message, hint="use --device cuda")
    if here > gpus:
        message = f"{here} processes on a machine need a GPU each, and there are {gpus}"
        raise OptionError(message, hint=f"use at most {gpus} processes, or --device cpu")
    return int(os.environ.get("LOCAL_RANK", "0"))


def _patience() -> timedelta:
    """Return how long to wait for the others. Raises OptionError if $ZOO_PATIENCE is no number of seconds."""
    given = os.environ.get("ZOO_PATIENCE", "")
    if not given:
        return _TO_GO_ON
    if not given.isdecimal() or not 0 < int(given) < 10**6:
        raise OptionError(f"ZOO_PATIENCE must be a number of seconds, such as 600 (got {given!r})")
    return timedelta(seconds=int(given))


def _as_laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return a gradient with its dimensions in the order in which its parameter, if dense, is in memory."""
    last = parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return gradient.permute(0, 2, 3, 1) if last and not parameter.is_contiguous() else gradient


@contextlib.contextmanager
def _losing(wait: timedelta) -> Generator[None]:
    """Raise Lost for what a collective call raises if another process has ended, or does not answer."""
    try:
        yield
    except RuntimeError as error:
        late = re.search("timed out|timeout", str(error), re.IGNORECASE)
        raise Lost(waited=wait.total_seconds() if late else 0) from error
