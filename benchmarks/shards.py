"""Training on shards: the memory that many of them take, speed beside webdataset, and reading ahead.

The images are 32x32 PNG files of blocks, a few hundred bytes each.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measuring import benchmark, child, environment, in_turn, median_of, python, ratio_of, seconds
from benchmarks.rows import Row
from zoo import Registry, TrainConfig
from zoo.data.image_files import as_image
from zoo.data.item_batches import Indices
from zoo.data.opening import open_dataset
from zoo.evaluation.item_tasks import ItemTask
from zoo.interfaces import Dataset, make_task
from zoo.models.building import build_model, model_arguments
from zoo.training.optimizers import make_optimizer
from zoo.training.state import TrainState
from zoo.training.step import train_step

EACH, CLASSES, BATCH = 10_000, 10, 256


@benchmark(minutes=10)
def shards_memory(*, shards: int = 100) -> Iterator[Row]:
    """Peak memory of an epoch over 1,000,000 images in 100 tar files, relative to 10,000 images in one."""
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        env = environment(ZOO_CACHE=f"{name}/cache")
        for count in (1, shards):
            pattern = write_shards(Path(name, str(count)), count, EACH)
            code = f"from benchmarks import shards\nshards.epoch({pattern!r})"
            peaks.append(child(python(code), env=env).mebibytes)
            yield Row(f"{count * EACH:,} images", "peak memory", peaks[-1], "MiB")
    yield Row(f"{shards * EACH:,} images", "beside one tar", peaks[1] / peaks[0], "times as much")


@benchmark(minutes=2, needs="webdataset")
def shards_speed(*, rounds: int = 5, images: int = EACH) -> Iterator[Row]:
    """Speed of an epoch over two tar files, relative to a plain loop over webdataset.

    Both read the same images, decode them with the same function, and train the same network on as many
    images; shards are indexed before.
    """
    webdataset: Any = import_module("webdataset")
    with tempfile.TemporaryDirectory() as name:
        data = opened(pattern := write_shards(Path(name, "speed"), 2, images))
        mean, std = (torch.tensor(data.preprocess[word])[:, None, None] for word in ("mean", "std"))

        def decode(item: dict[str, Any]) -> tuple[Any, int]:
            return as_image(item["png"], size=32, channels=3), int(item["cls"])

        def with_webdataset() -> None:
            model, config = _network(data)
            optimizer = make_optimizer(model, config)
            source: Any = webdataset.WebDataset(pattern, shardshuffle=100).shuffle(4_096).map(decode)
            for pixels, labels in source.batched(BATCH):
                inputs = (torch.from_numpy(pixels) / 255 - mean) / std
                loss = F.cross_entropy(model(inputs), torch.from_numpy(labels))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        ways = {"zoo": lambda: train(data), "webdataset": with_webdataset}
        times = in_turn({way: lambda do=do: seconds(do) for way, do in ways.items()}, rounds)
    yield median_of("two tars", "rate", [2 * images / taken for taken in times["zoo"]], "images/s")
    yield ratio_of("two tars", "beside webdataset", times["webdataset"], times["zoo"], "times as fast")


class Slow:
    """A map-style dataset whose items take 5 ms to read."""

    def __len__(self) -> int:
        return 640

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        time.sleep(0.005)
        return torch.full((4,), float(index)), index % 2


@benchmark(minutes=1)
def shards_ahead(*, rounds: int = 5) -> Iterator[Row]:
    """Speed of reading slow items ahead of steps that take as long, relative to reading them in between."""
    task, split = make_task(Registry.discover(), "classification"), Slow()
    wanted = Indices(torch.arange(len(split)).split(16))

    def steps(batches: Iterator[Any]) -> None:
        for _ in batches:
            time.sleep(0.005 * 16)

    def ahead() -> None:
        steps(ItemTask.read(task, split, wanted))  # pyright: ignore[reportArgumentType]

    def in_order() -> None:
        steps([split[index] for index in indices] for indices in wanted)

    times = in_turn({"ahead": lambda: seconds(ahead), "in order": lambda: seconds(in_order)}, rounds)
    yield ratio_of("640 items", "beside reading in order", times["in order"], times["ahead"], "times as fast")


def write_shards(folder: Path, count: int, each: int) -> str:
    """Write tars of `each` images, and return their pattern; few images are encoded, and used again."""
    folder.mkdir()
    draws = np.random.default_rng(0)
    encoded: list[bytes] = []
    for _ in range(64):
        blocks = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        file = io.BytesIO()
        Image.fromarray(blocks).save(file, "PNG")
        encoded.append(file.getvalue())
    for number in range(count):
        with (folder / f"{number:03}.tar").open("wb") as file:
            for item in range(each):
                key = f"{number:03}-{item:06}"
                file.write(member(f"{key}.png", encoded[(item + number) % len(encoded)]))
                file.write(member(f"{key}.cls", str((item + number) % CLASSES).encode()))
            file.write(bytes(1024))
    return str(folder / f"{{000..{count - 1:03}}}.tar")


def member(name: str, content: bytes) -> bytes:
    """Return a member of a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf() + content + bytes(-len(content) % 512)


def opened(pattern: str) -> Dataset:
    """Open shards, which are indexed the first time."""
    return open_dataset(Registry.discover().dataset("shards"), {"train": pattern, "size": 32})


def epoch(pattern: str) -> None:
    """Open shards, and train on them for an epoch."""
    train(opened(pattern))


def train(data: Dataset) -> None:
    """Train `mlp` for an epoch."""
    task, (model, config) = make_task(Registry.discover(), "classification"), _network(data)
    state = TrainState.begin(model, config, precision="fp32", device="cpu")
    for batch in task.train_batches(data, config, seed=0, epoch=0):
        train_step(state, task, batch, config, 0.01)


def _network(data: Dataset) -> tuple[nn.Module, TrainConfig]:
    """Return a new `mlp` and its training configuration."""
    registry = Registry.discover()
    entry = registry.architecture("mlp")
    arguments = model_arguments(entry, registry.task("classification"), data.dims, {})
    config = registry.usual_config(entry).replace({"batch_size": BATCH, "augment": []})
    return build_model(entry, arguments, seed=0).train(), config
