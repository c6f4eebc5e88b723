"""Training on shards: peak memory of an epoch, and speed beside a plain loop over webdataset.

    python benchmarks/shards.py memory      # 1,000,000 images in 100 tars, and 10,000 in one
    python benchmarks/shards.py speed       # requires `pip install webdataset`
    python benchmarks/shards.py ahead       # slow items, read while the model trains

The images are 32x32 PNG files of blocks, a few hundred bytes each. Memory is the peak of a whole process that
indexes the shards and trains `mlp` for one epoch. Both loops of `speed` read the same images, decode them
with the same function, and train the same network on the same number of images, in turn; shards are indexed
before.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoo import Registry
from zoo.data.image_files import as_image
from zoo.data.item_batches import Indices
from zoo.data.opening import open_dataset
from zoo.evaluation.item_tasks import ItemTask
from zoo.interfaces import Dataset, make_task
from zoo.models.building import build_model, model_arguments
from zoo.training.optimizers import make_optimizer
from zoo.training.state import TrainState
from zoo.training.step import train_step

EACH = 10_000
CLASSES = 10
BATCH = 256
EPOCH = """
import resource, sys
sys.path.insert(0, {benchmarks!r})
import shards
shards.epoch({pattern!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


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
    return open_dataset(Registry.discover().dataset("shards"), {"train": pattern, "size": 32})


def epoch(pattern: str) -> float:
    """Train `mlp` for an epoch; return the images per second, from the first step to the last."""
    registry = Registry.discover()
    data, task = opened(pattern), make_task(registry, "classification")
    entry = registry.architecture("mlp")
    config = registry.usual_config(entry).replace({"batch_size": BATCH, "augment": []})
    model = build_model(entry, model_arguments(entry, registry.task("classification"), data.dims, {}), seed=0)
    state = TrainState.begin(model.train(), config, precision="fp32", device="cpu")
    start = time.perf_counter()
    for batch in task.train_batches(data, config, seed=0, epoch=0):
        train_step(state, task, batch, config, 0.01)
    return len(data.split("train")) / (time.perf_counter() - start)


def webdataset_epoch(pattern: str) -> float:
    """Train the same network in a plain loop over webdataset; return the images per second."""
    import webdataset  # pyright: ignore[reportMissingImports]

    registry = Registry.discover()
    data = opened(pattern)  # for its dims, its mean and its standard deviation
    entry = registry.architecture("mlp")
    config = registry.usual_config(entry).replace({"batch_size": BATCH})
    model = build_model(entry, model_arguments(entry, registry.task("classification"), data.dims, {}), seed=0)
    optimizer = make_optimizer(model.train(), config)
    mean, std = (torch.tensor(data.preprocess[name])[:, None, None] for name in ("mean", "std"))

    def decode(item: dict[str, Any]) -> tuple[Any, int]:
        return as_image(item["png"], size=32, channels=3), int(item["cls"])

    source: Any = webdataset.WebDataset(pattern, shardshuffle=100).shuffle(4_096).map(decode)
    count, start = 0, time.perf_counter()
    for images, labels in source.batched(BATCH):
        inputs = (torch.from_numpy(images) / 255 - mean) / std
        loss = F.cross_entropy(model(inputs), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count += len(labels)
    return count / (time.perf_counter() - start)


class Slow:
    """A map-style dataset whose items take 5 ms to read."""

    def __len__(self) -> int:
        return 640

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        time.sleep(0.005)
        return torch.full((4,), float(index)), index % 2


def ahead(in_order: bool) -> float:
    """Return the seconds for the items of `Slow`, with a step that takes as long as reading its batch."""
    wanted = Indices(torch.arange(len(Slow())).split(16))
    task = make_task(Registry.discover(), "classification")
    split = Slow()
    batches: Iterator[Any] = (
        ([split[index] for index in indices] for indices in wanted)
        if in_order
        else ItemTask.read(task, split, wanted)  # pyright: ignore[reportArgumentType]
    )
    start = time.perf_counter()
    for _ in batches:
        time.sleep(0.005 * 16)
    return time.perf_counter() - start


def memory(folder: Path, shards: int) -> None:
    peaks: list[float] = []
    for count in (1, shards):
        pattern = write_shards(folder / str(count), count, EACH)
        code = EPOCH.format(benchmarks=str(Path(__file__).parent), pattern=pattern)
        begun = time.perf_counter()
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(float(child.stdout.split()[-1]))
        took = time.perf_counter() - begun
        print(f"{count * EACH:9,} images in {count} tars: peak {peaks[-1]:.0f} MiB, {took:.0f} s", flush=True)
    print(f"{peaks[1] / peaks[0]:.2f} times the memory")


def speed(folder: Path, rounds: int) -> None:
    pattern = write_shards(folder / "speed", 2, EACH)
    rows = [(epoch(pattern), webdataset_epoch(pattern)) for _ in range(rounds + 1)][1:]
    ratios = [ours / theirs for ours, theirs in rows]
    print(
        f"shards: {rows[-1][0]:,.0f} images/s, {statistics.median(ratios):.2f} times a loop over webdataset "
        f"({min(ratios):.2f} to {max(ratios):.2f}) over {rounds} rounds"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training on shards.")
    parser.add_argument("what", choices=["memory", "speed", "ahead"])
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["ZOO_CACHE"] = f"{name}/cache"
        if options.what == "memory":
            memory(Path(name), options.shards)
        elif options.what == "speed":
            speed(Path(name), options.rounds)
        else:
            rows = [(ahead(True), ahead(False)) for _ in range(options.rounds + 1)][1:]
            ratios = [alone / read for alone, read in rows]
            print(
                f"reading ahead: {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} at least)"
            )


if __name__ == "__main__":
    main()
