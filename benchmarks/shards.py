"""Training on shards: the memory that many of them take.

The images are 32x32 PNG files of blocks, a few hundred bytes each.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring import benchmark, child, environment, python
from benchmarks.rows import Row
from zoo import Registry
from zoo.data.opening import open_dataset
from zoo.interfaces import make_task
from zoo.models.building import build_model, model_arguments
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


def epoch(pattern: str) -> None:
    """Train `mlp` for an epoch."""
    registry = Registry.discover()
    data = open_dataset(registry.dataset("shards"), {"train": pattern, "size": 32})
    entry, task = registry.architecture("mlp"), make_task(registry, "classification")
    config = registry.usual_config(entry).replace({"batch_size": BATCH, "augment": []})
    arguments = model_arguments(entry, registry.task("classification"), data.dims, {})
    model = build_model(entry, arguments, seed=0).train()
    state = TrainState.begin(model, config, precision="fp32", device="cpu")
    for batch in task.train_batches(data, config, seed=0, epoch=0):
        train_step(state, task, batch, config, 0.01)
