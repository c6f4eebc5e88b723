"""Items that draw random numbers, and items that are read ahead: the same batches, whoever reads them."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.data import item_batches
from zoo.data.shard_order import shard_order
from zoo.data.views import View
from zoo.errors import SpecError
from zoo.interfaces import Batch, HasShards, make_task
from zoo.registry.registry import Registry
from zoo.seeds import GLOBAL_GENERATOR

CLASSES = {"size": 8, "mean": [0.5], "std": [0.5], "classes": ["a", "b"]}
DIMS = {"in_channels": 1, "image_size": 8, "num_classes": 2}


class Items:
    """Images whose first pixel is their number, and the second what a function draws."""

    def __init__(self, draw: Callable[[int], float] = lambda index: 0.0, count: int = 22) -> None:
        self.draw, self.count = draw, count
        self.threads: list[str] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.threads.append(threading.current_thread().name)
        image = torch.zeros(1, 8, 8, dtype=torch.uint8)
        image[0, 0, 0], image[0, 0, 1] = index, int(self.draw(index) * 250)
        return image, index % 2


class Ends(Items):
    """Items in two shards."""

    shard_lengths = (20, 2)

    def read_batch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        images, labels = zip(*(self[index] for index in indices), strict=True)
        return torch.stack(images), torch.tensor(labels)


DRAWS: dict[str, Callable[[int], float]] = {
    "torch": lambda index: torch.rand(()).item(),
    "numpy": lambda index: np.random.rand(),
    "random": lambda index: random.random(),
    "rarely": lambda index: torch.rand(()).item() if index == 7 else 0.0,
    "rarely, numpy": lambda index: np.random.rand() if index == 7 else 0.0,
    "dropout": lambda index: nn.functional.dropout(torch.ones(50)).mean().item() / 2,
    "own generator": lambda index: torch.rand((), generator=torch.Generator().manual_seed(index)).item(),
}


def batches(
    split: Any, *, start: int = 0, epoch: int = 1, rank: int = 0, world_size: int = 1
) -> Generator[Batch]:
    data = View(dims=DIMS, preprocess=CLASSES, split=lambda name: split)
    task = make_task(Registry.discover(), "classification")
    where: Any = {"epoch": epoch, "start": start, "rank": rank, "world_size": world_size}
    yield from task.train_batches(data, configured(batch_size=4), seed=3, **where)


def drawn(found: Iterator[Batch]) -> dict[int, float]:
    """Return what each item drew, by its number; a forward pass draws between two batches."""
    result: dict[int, float] = {}
    for batch in found:
        with GLOBAL_GENERATOR:
            torch.manual_seed(batch.seed)
            before = torch.rand(3)
            torch.manual_seed(batch.seed)
            time.sleep(0)
            assert torch.equal(torch.rand(3), before)
        pixels = (batch.inputs[:, 0, 0, :2] * 0.5 + 0.5) * 255
        result |= {round(index): round(value) for index, value in pixels.tolist()}
    return result


@pytest.fixture(params=["quick", "slow"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take every item for slow, or for quick."""
    monkeypatch.setattr(item_batches, "_SLOW", 1e9 if request.param == "quick" else -1.0)
    return request.param


@pytest.mark.parametrize("name", DRAWS)
def test_what_an_item_draws_follows_from_its_position(name: str, reading: str) -> None:
    items = Items(DRAWS[name])
    whole = drawn(batches(items))
    assert len(whole) == 22
    for draw in (torch.rand, np.random.rand):  # whatever else draws
        draw(5)
    for start in (1, 3):
        late = drawn(batches(items, start=start))
        assert late.items() <= whole.items()
    parts = [drawn(batches(items, rank=rank, world_size=2)) for rank in range(2)]
    assert parts[0] | parts[1] == whole
    other = drawn(batches(items, epoch=2))
    assert (other == whole) is (name == "own generator")


def test_the_generators_are_left_as_they_were(reading: str) -> None:
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    for name in ("torch", "numpy", "random", "rarely, numpy"):
        for _ in batches(Items(DRAWS[name])):
            pass
    assert torch.equal(torch.get_rng_state(), states[0])
    assert all(map(np.array_equal, np.random.get_state(), states[1]))
    assert random.getstate() == states[2]


def test_slow_items_are_read_ahead_and_those_that_draw_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_batches, "_SLOW", -1.0)
    quiet, draws = Items(), Items(DRAWS["torch"])
    with contextlib.closing(batches(quiet)) as found:
        next(found)
        while len(quiet.threads) < 8:  # the second batch, which nobody has asked for
            time.sleep(0.001)
    assert {*quiet.threads[4:]} == {"zoo-read_0"}
    assert not any(thread.name.startswith("zoo-read") for thread in threading.enumerate())
    drawn(batches(draws))
    assert {*draws.threads} == {threading.current_thread().name}


def test_items_that_only_the_first_thread_can_read_are_read_by_it(reading: str) -> None:
    home = threading.get_ident()

    def draw(index: int) -> float:
        if threading.get_ident() != home:
            raise RuntimeError("objects created in a thread can only be used in that thread")
        return 0.0

    assert len(drawn(batches(Items(draw)))) == 22


def test_an_error_of_an_item_arrives_at_its_turn(reading: str) -> None:
    def draw(index: int) -> float:
        return 1 / (index - 7)

    with pytest.raises(ZeroDivisionError):
        drawn(batches(Items(draw)))


def test_an_evaluation_draws_the_same_each_time(reading: str) -> None:
    task = make_task(Registry.discover(), "classification")
    first, second = (drawn(task.batches_of(Items(DRAWS["random"]), CLASSES)) for _ in range(2))
    assert first == second
    assert len({*first.values()}) > 5


def test_shards_are_shuffled_and_their_items_in_groups() -> None:
    lengths = [2_000] * 10
    orders = [shard_order(lengths, 20_000, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(orders[0].sort().values, torch.arange(20_000))
    first = orders[0][:8_000]
    assert len((first // 2_000).unique()) == 4
    assert len((first[:100] // 2_000).unique()) == 4  # of all four from the start
    assert not torch.equal(first, first.sort().values)


def test_a_split_of_shards_is_read_ahead_with_the_batches_of_its_order() -> None:
    split = Ends()
    assert isinstance(split, HasShards)
    found = drawn(batches(split))
    assert len(found) == 22
    assert {*split.threads} == {"zoo-read_0"}
    assert drawn(batches(split, start=2)).keys() < found.keys()


def test_lengths_of_shards_must_add_up() -> None:
    split = Ends(count=23)
    with pytest.raises(SpecError, match="shard_lengths must add up to 23, the number of items \\(got 22\\)"):
        drawn(batches(split))
