"""The processes of a distributed run, as started by torchrun.

All processes compute the same weights from the same gradients: every batch is divided among the processes
(see `zoo.data.parts`), and the gradients of the parts are summed before each step. The first process, rank 0,
owns the run directory and prints. All processes agree on decisions that depend on a clock or a signal.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar, cast

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import distributed_c10d as c10d
from torch.distributed.rendezvous import rendezvous

from zoo.config.torchrun import is_one_of_several
from zoo.data.parts import part_of
from zoo.distributed.parent import end_with
from zoo.errors import Lost, OptionError, RunError

# How long a process waits for the others: once all have met, since a first one may have a large dataset to
# prepare; and before that and in the training, by default
_TO_BEGIN, _TO_GO_ON = timedelta(minutes=30), timedelta(minutes=10)
# How long it tries to reach torchrun, which was there before it
_TO_REACH = timedelta(seconds=10)
_MEETINGS = itertools.count()
T = TypeVar("T")


class Ranks:
    """The rank of this process in a run. A collective call waits until every process has made the same call.

    Args:
        rank: number of this process, counted from 0.
        world_size: number of processes.
        local_world_size: number of processes on this machine.

    Attributes:
        copies: number of processes that compute each item of the batch: all of them if the batch has fewer
            items than there are processes, otherwise 1.

    Each collective method raises Lost if another process has ended.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, local_world_size: int = 1) -> None:
        self.rank, self.world_size, self.local_world_size = rank, world_size, local_world_size
        self.copies = 1
        self._wait = _TO_BEGIN
        self._group: dist.ProcessGroup | None = None

    def begun(self) -> None:
        """From now on, wait for other processes for at most 10 minutes, or `$ZOO_PATIENCE` seconds."""
        if self.world_size == 1:
            return
        self.all_max(0)  # until the last one has set up
        self._wait = _patience()
        with _losing(self._wait):
            self._group = cast("dist.ProcessGroup", dist.new_group(timeout=self._wait))

    @property
    def first(self) -> bool:
        """Whether this process owns the run directory and prints."""
        return self.rank == 0

    def all_reduce(self, values: Tensor, op: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
        """Reduce a tensor over all processes in place, by sum or by `op`, and return it."""
        if self.world_size > 1:
            with _losing(self._wait):
                dist.all_reduce(values, op, group=self._group)
        return values

    def all_max(self, *values: int) -> list[int]:
        """Return the maximum of each number over all processes, without waiting for a GPU."""
        if self.world_size == 1:
            return [*values]
        return self.all_reduce(torch.tensor(values, dtype=torch.int64), dist.ReduceOp.MAX).tolist()

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in one message whose layout never changes.

        A parameter that has no gradient in any process is left without one. DistributedDataParallel changes
        the layout of its messages after the first step, so the sums in a resumed run would be rounded
        differently.
        """
        if self.world_size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        present = self.all_max(*(parameter.grad is not None for parameter in trained))
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        dtype = reduce(torch.promote_types, [gradient.dtype for gradient in gradients])
        flat = torch.cat([gradient.to(dtype).reshape(-1) for gradient in gradients])
        sums = self.all_reduce(flat).split([gradient.numel() for gradient in gradients])
        for parameter, gradient, total, held in zip(trained, gradients, sums, present, strict=True):
            gradient.copy_(total.view_as(gradient))
            parameter.grad = gradient if held else None

    def broadcast(self, value: Callable[[], T], kind: type[T] | Any) -> T:
        """Call a function in the first process only, and return its result in all processes.

        Args:
            kind: type of the result, which msgspec must be able to encode as JSON.
        """
        if self.world_size == 1:
            return value()
        content = msgspec.json.encode(value()) if self.first else b""
        (size,) = self.all_max(len(content))
        buffer = torch.frombuffer(bytearray(content or size), dtype=torch.uint8)
        self._broadcast(buffer, 0)
        return msgspec.json.decode(buffer.numpy().tobytes(), type=kind)

    def broadcast_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Broadcast the first process's tensors; the other processes' tensors are ignored."""
        if self.world_size == 1:
            return dict(tensors)
        held = {name: (str(value.dtype)[6:], [*value.shape]) for name, value in tensors.items()}
        layout = self.broadcast(lambda: held, dict[str, tuple[str, list[int]]])
        got: dict[str, Tensor] = {}
        for name, (dtype, shape) in layout.items():
            made = tensors[name] if self.first else torch.empty(shape, dtype=getattr(torch, dtype))
            got[name] = made.detach().cpu().contiguous()
            if made.numel():
                self._broadcast(got[name].view(-1).view(torch.uint8), 0)
        return got

    def _broadcast(self, values: Tensor, rank: int) -> None:
        with _losing(self._wait):
            dist.broadcast(values, rank, group=self._group)

    def all_gather(self, shard: Tensor, dim: int, count: int) -> Tensor:
        """Concatenate the streams of all processes along `dim` into a tensor of `count` streams."""
        shards: list[Tensor] = []
        for rank in range(self.world_size):
            here, _ = part_of(count, rank=rank, world_size=self.world_size)
            shape = [*shard.shape[:dim], here.stop - here.start, *shard.shape[dim + 1 :]]
            shards.append(shard.contiguous() if rank == self.rank else shard.new_empty(shape))
            self._broadcast(shards[-1], rank)
        return torch.cat(shards, dim)

    def shard(self, whole: Tensor, dim: int) -> Tensor:
        """Return this process's part of a tensor whose streams are along dimension `dim`."""
        here, _ = part_of(whole.shape[dim], rank=self.rank, world_size=self.world_size)
        return whole.narrow(dim, here.start, here.stop - here.start).contiguous()

    @contextlib.contextmanager
    def in_turn(self) -> Generator[None]:
        """Run the body in the first process, then in the first process of each machine, then in the others.

        This way, one process on each machine prepares data for the others, and only one process reports an
        error.
        """
        turn = 2
        if self.first:
            turn = 0
        elif os.environ.get("LOCAL_RANK") == "0":
            turn = 1
        for _ in range(turn):
            self.all_max(0)
        yield
        for _ in range(turn, 2):
            self.all_max(0)


ALONE = Ranks()


@contextlib.contextmanager
def joined(device: str) -> Generator[Ranks]:
    """Join the other processes, if torchrun has started any.

    Raises:
        OptionError: torchrun's environment variables are incomplete or are not numbers, or the device is an
            Apple GPU, which torch.distributed does not support.
        RunError: the first process cannot be reached.
        Lost: another process does not join.
    """
    if not is_one_of_several():
        yield ALONE
        return
    if torch.device(device).type == "mps":
        raise OptionError("distributed training does not support Apple GPUs", hint="use --device cpu")
    backend = "gloo"
    if torch.device(device).type == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(_own_gpu(device))
    end_with(os.getppid())
    store, rank, world_size = _met()
    with _losing(_TO_BEGIN):
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=_TO_BEGIN)
    try:
        yield Ranks(rank, world_size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    finally:
        dist.destroy_process_group()


def _met() -> tuple[c10d.Store, int, int]:
    """Wait until all processes have joined; return the shared store, this process's rank, and the world size.

    Waits in Python, so that signals are handled at once. Raises the same errors as `joined`.
    """
    wait = _patience()
    of_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    try:
        store, rank, world_size = next(rendezvous("env://", timeout=_TO_REACH if of_torchrun else wait))
    except ValueError as error:
        message = f"RANK and WORLD_SIZE are set, but not as torchrun sets them: {error}"
        raise OptionError(message, hint="to train without torchrun, unset RANK and WORLD_SIZE") from None
    except dist.DistNetworkError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunError(f"cannot reach the first training process at {place}") from error
    except dist.DistStoreError as error:
        raise Lost(waited=wait.total_seconds()) from error
    # torchrun gives every attempt the same store, which still has the addresses of processes that died, or
    # that met for an earlier training
    attempt = f"zoo-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}-{next(_MEETINGS)}"
    store = c10d.PrefixStore(attempt, store)
    with _losing(wait):
        store.add("here", 1)
        until = time.monotonic() + wait.total_seconds()
        while store.add("here", 0) < world_size:
            if time.monotonic() > until:
                raise Lost(waited=wait.total_seconds())
            time.sleep(0.02)
    return store, rank, world_size


def _own_gpu(device: str) -> int:
    """Return the index of this process's GPU.

    Raises OptionError if the machine has fewer GPUs than processes, or if `device` includes an index.
    """
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if ":" in device:
        message = f"in distributed training, each process chooses its own GPU (got device {device})"
        raise OptionError(message, hint="use --device cuda")
    if here > gpus:
        message = f"{here} processes on this machine need one GPU each, but it has only {gpus}"
        raise OptionError(message, hint=f"use at most {gpus} processes, or --device cpu")
    return int(os.environ.get("LOCAL_RANK", "0"))


def _patience() -> timedelta:
    """Return how long to wait for other processes.

    Raises OptionError if $ZOO_PATIENCE is not a number of seconds.
    """
    given = os.environ.get("ZOO_PATIENCE", "")
    if not given:
        return _TO_GO_ON
    if not given.isdecimal() or not 0 < int(given) < 10**6:
        raise OptionError(f"ZOO_PATIENCE must be a number of seconds, such as 600 (got {given!r})")
    return timedelta(seconds=int(given))


@contextlib.contextmanager
def _losing(wait: timedelta) -> Generator[None]:
    """Convert errors in collective calls to Lost if another process has ended or does not respond."""
    try:
        yield
    except RuntimeError as error:
        late = re.search("timed out|timeout", str(error), re.IGNORECASE)
        raise Lost(waited=wait.total_seconds() if late else 0) from error
