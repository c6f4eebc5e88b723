"""Processes of one machine add up numbers in memory that they share, in an order that never changes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.distributed import shared_memory
from zoo.distributed.ranks import Ranks
from zoo.distributed.shared_memory import SharedMemory
from zoo.errors import Lost, SpecError

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="gloo adds up on other systems"
)


def opened(place: Path, world: int, patience: float = 60) -> list[SharedMemory]:
    """Return the memory of several processes, all of which are this one."""
    file = place / "memory"
    file.write_bytes(bytes(SharedMemory.size(world)))
    return [SharedMemory(file, rank=rank, world=world, patience=patience) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("count", [0, 1, 1000, 700_001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_all_get_the_same_sums(world: int, count: int, dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(count)
    values = (torch.randn(3, world, count, generator=generator) * 1e6).to(dtype)

    def add_up(memory: SharedMemory, rank: int) -> list[torch.Tensor]:
        results = [turn[rank].clone() for turn in values]
        for result, combine in zip(results, (torch.add, torch.maximum, torch.add), strict=True):
            memory.reduce([result], combine)
        return results

    with ThreadPoolExecutor(world) as threads:
        found = [*threads.map(add_up, opened(tmp_path, world), range(world))]
    wanted = [values[0][0], values[1].amax(0), values[2][0]]
    for rank in range(1, world):
        wanted[0], wanted[2] = wanted[0] + values[0][rank], wanted[2] + values[2][rank]
    for results in found:
        assert all(torch.equal(got, want) for got, want in zip(results, wanted, strict=True))


def test_several_tensors_are_one_message(tmp_path: Path) -> None:
    lengths = [3, 0, 300_000, 262_144, 1, 5_000]  # 262,144 numbers are a piece
    values = torch.randn(2, sum(lengths), generator=torch.Generator().manual_seed(0))

    def add_up(memory: SharedMemory, rank: int) -> torch.Tensor:
        whole = torch.full((2, sum(lengths)), torch.nan)
        whole[0] = values[rank]
        memory.reduce(whole[0].split(lengths), torch.add)
        return whole

    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(add_up, opened(tmp_path, 2), range(2)):
            assert torch.equal(found[0], values[0] + values[1])
            assert found[1].isnan().all()


def test_a_slow_process_gets_the_message_that_it_came_for(tmp_path: Path) -> None:
    def add_up(memory: SharedMemory, rank: int) -> list[float]:
        def slowly(one: torch.Tensor, other: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
            time.sleep(0.002 * rank)  # between writing and reading
            return torch.add(one, other, out=out)

        sums = [torch.tensor([float(number)]) for number in range(50)]
        for each in sums:
            memory.reduce([each], slowly)
        return [float(each) for each in sums]

    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(add_up, opened(tmp_path, 3), range(3)):
            assert found == [3.0 * number for number in range(50)]


def test_gradients_are_added_up_whatever_their_layout(tmp_path: Path) -> None:
    """One process has them in the order of the weights, and the other in that of their dimensions."""
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(2, 8, 4, 3, 3, generator=generator)
    lines = torch.randn(2, 5, 6, generator=generator)

    def add_up(memory: SharedMemory, rank: int) -> list[torch.Tensor | None]:
        ranks = Ranks(rank, 2, 2)
        ranks._memory = memory  # pyright: ignore[reportPrivateUsage]
        layout = (torch.channels_last, torch.contiguous_format)[rank]
        kernel = nn.Parameter(torch.empty(8, 4, 3, 3).to(memory_format=torch.channels_last))
        kernel.grad = filters[rank].clone(memory_format=layout)
        exact, unused = nn.Parameter(torch.empty(5, 6, dtype=torch.float64)), nn.Parameter(torch.empty(2))
        exact.grad = lines[rank].double() if rank else None
        frozen = nn.Parameter(torch.empty(2), requires_grad=False)
        ranks.add_gradients([kernel, frozen, exact, unused])
        return [kernel.grad, exact.grad, unused.grad]

    with ThreadPoolExecutor(2) as threads:
        for kernel, exact, unused in threads.map(add_up, opened(tmp_path, 2), range(2)):
            assert kernel is not None
            assert exact is not None
            assert torch.equal(kernel, (filters[0].double() + filters[1].double()).float())
            assert torch.equal(exact, lines[1].double())
            assert unused is None


@pytest.mark.parametrize("world", [2, 3])
def test_messages_of_different_sizes_are_not_mixed(world: int, tmp_path: Path) -> None:
    """Here the last process skips a message that the others send; 60,000 numbers are no short one."""

    def add_up(memory: SharedMemory, rank: int) -> str:
        memory.reduce([torch.ones(1)], torch.add)
        try:
            memory.reduce([torch.ones(5 if rank < world - 1 else 60_000)], torch.add)
        except SpecError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(world) as threads:
        found = {*threads.map(add_up, opened(tmp_path, world), range(world))}
    assert found == {"the processes of the training do not compute the same layers"}


def test_nobody_waits_for_a_process_that_ended(tmp_path: Path) -> None:
    memory, _ = opened(tmp_path, 2)
    other = f"""
from pathlib import Path
from zoo.distributed.shared_memory import SharedMemory
SharedMemory(Path({str(tmp_path / "memory")!r}), rank=1, world=2, patience=60)
print("there", flush=True)
input()
"""
    ending = subprocess.Popen([sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert ending.stdin is not None
    assert ending.stdout is not None
    ending.stdout.readline()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(memory.reduce, [torch.ones(1)], torch.add)
        time.sleep(0.5)
        assert not waiting.done()
        ending.kill()  # and nobody asks how it ended, so that it is still listed
        with pytest.raises(Lost, match="another process of this run has ended"):
            waiting.result(20)
    ending.stdin.close()
    ending.stdout.close()
    ending.wait()


def test_nobody_waits_for_a_process_that_left_the_run(tmp_path: Path) -> None:
    memory, other = opened(tmp_path, 2)
    other.leave()
    with pytest.raises(Lost):
        memory.reduce([torch.ones(1)], torch.add)


def test_processes_of_two_containers_do_not_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, _ = opened(tmp_path, 2)
    assert together.is_usable()
    container = tmp_path / "namespace"
    container.touch()
    monkeypatch.setattr(shared_memory, "_NAMESPACE", container)
    SharedMemory(tmp_path / "memory", rank=1, world=2, patience=60)
    assert not together.is_usable()


def test_nobody_waits_longer_than_they_have_patience(tmp_path: Path) -> None:
    memory, _ = opened(tmp_path, 2, patience=0.3)
    with pytest.raises(Lost):
        memory.reduce([torch.ones(1)], torch.add)


def full(handle: int, offset: int, size: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("where", "name", "instead"),
    [
        (platform, "machine", lambda: "aarch64"),
        (os, "posix_fallocate", full),
        (shared_memory.tempfile, "mkstemp", lambda **settings: full(0, 0, 0)),
    ],
    ids=["another processor", "no room", "no such folder"],
)
def test_where_no_memory_can_be_shared_nothing_is_left(
    where: object, name: str, instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {*Path("/dev/shm").iterdir()}
    monkeypatch.setattr(where, name, instead)
    assert SharedMemory.create(2) is None
    assert {*Path("/dev/shm").iterdir()} == before


def test_the_file_is_as_large_as_it_is_used() -> None:
    path = SharedMemory.create(3)
    assert path is not None
    try:
        assert path.stat().st_size == SharedMemory.size(3)
    finally:
        path.unlink()
