"""Opening data for the first time and again, and the memory that large data takes."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring import benchmark, child, environment, median_of, python, ratio_of
from benchmarks.rows import Row
from zoo.errors import DataError

OPEN = """
import time
import torch
import zoo
from zoo.api import models_and_datasets
start = time.perf_counter()
data = zoo.open_dataset("folder", root=sys.argv[1], progress=False)
print(time.perf_counter() - start, data.fingerprint)
"""
# Opens data and reads a file of as many bytes, the one that is named first. Prints the seconds of both, and
# those until each byte was looked at, and the bytes
REOPEN = """
import time
import numpy as np
import torch
import zoo
name, place, first = sys.argv[1:]
registry = zoo.Registry.discover()
registry.dataset(name).load()
zoo.open_dataset("shapes", size=16, train_size=8, val_size=0, test_size=0, progress=False, registry=registry)

def opened():
    start = time.perf_counter()
    data = zoo.open_dataset(name, progress=False, registry=registry)
    once = time.perf_counter() - start
    splits = [data.split(split).images.numpy() for split in ("train", "val", "test")]
    for images in splits:
        images.max()
    return once, time.perf_counter() - start, sum(images.nbytes for images in splits)

def read():
    start = time.perf_counter()
    content = np.fromfile(place, np.uint8)
    once = time.perf_counter() - start
    content.max()
    return once, time.perf_counter() - start

if first == "opened":
    found = opened()
    print(*found[:2], *read(), found[2])
else:
    times = read()
    found = opened()
    print(*found[:2], *times, found[2])
"""
ENCODE = """
import time
from zoo import Registry
from zoo.data.opening import open_dataset
from zoo.interfaces import make_task
from zoo.models.building import build_model
from zoo.training.step import train_step
from zoo.training.state import TrainState
registry = Registry.discover()
start = time.perf_counter()
data = open_dataset(registry.dataset("files"), {"paths": sys.argv[1]})
print(time.perf_counter() - start)
config = registry.default_config("language-modeling").replace({"batch_size": 64, "precision": "fp32"})
model = build_model(registry.architecture("lstm"), {**data.dims, "hidden_size": 128}, seed=0)
state = TrainState.begin(model, config, precision="fp32", device="cpu")
task = make_task(registry, "language-modeling")
for batch in task.train_batches(data, config, seed=0, epoch=0):
    train_step(state, task, batch, config, 1e-3)
    if batch.index == 300:
        break
"""


@benchmark(minutes=3)
def opening(*, images: int = 100_000) -> Iterator[Row]:
    """Time to open 100,000 images for the first time, again, and with `zoo --verify`.

    They are JPEG files of 32 pixels, no two of them equal, read at 64. The time is that of
    `zoo.open_dataset`, once torch has been imported.
    """
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _draw(home / "images", images)
        time.sleep(3)  # what was written just now is not remembered
        ways = {"the first time": {}, "again": {}, "and again": {}, "verified": {"ZOO_VERIFY": "1"}}
        fingerprints: set[str] = set()
        for way, more in ways.items():
            env = environment(ZOO_CACHE=str(home / "cache"), **more)
            taken, fingerprint = child(python(OPEN, home / "images"), env=env).out.split()
            fingerprints.add(fingerprint)
            yield Row(f"{images:,} images", way, float(taken), "s")
        assert len(fingerprints) == 1


@benchmark(minutes=2, needs="CIFAR-10")
def reopening(*names: str, rounds: int = 5) -> Iterator[Row]:
    """Time to open images again, relative to reading as many bytes with numpy.

    Each measurement is a process that has imported all code, by opening eight small images. Both are in the
    system's page cache, and each comes first in half of the processes.
    """
    with tempfile.TemporaryDirectory() as folder:
        env, place = environment(ZOO_CACHE=f"{folder}/cache"), Path(folder, "bytes")

        def measured(name: str, first: str) -> list[float]:
            return [float(word) for word in child(python(REOPEN, name, place, first), env=env).out.split()]

        for name in names or ("cifar10", "shapes"):
            place.write_bytes(b"0")
            first, *_, count = measured(name, "opened")
            place.write_bytes(os.urandom(int(count)))
            found = [measured(name, turn) for turn in ("opened", "read") * rounds]
            again, touched, read, read_touched, _ = zip(*found, strict=True)
            yield Row(name, "size", count / 1e6, "MB")
            yield Row(name, "the first time", 1_000 * first, "ms")
            yield median_of(name, "again", [1_000 * taken for taken in again], "ms")
            yield ratio_of(name, "beside numpy", again, read, "times as long")
            figure = "beside numpy, each byte looked at"
            yield ratio_of(name, figure, touched, read_touched, "times as long")


@benchmark(minutes=2, needs="tinyshakespeare")
def encoding(*, megabytes: int = 1_000) -> Iterator[Row]:
    """Speed and peak memory of `text/files` on 1 GB of text, encoded and trained on, then opened again.

    The text is tinyshakespeare again and again, with a number before each copy; training is 300 steps. The
    memory is that of the process, less that of one that imports torch.
    """
    source = Path(os.environ.get("ZOO_DATA", "."), "tinyshakespeare.txt")
    if not source.exists():
        raise DataError(f"{source} is missing", hint="set ZOO_DATA to the folder that contains it")
    text = source.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        env, path = environment(ZOO_CACHE=f"{name}/cache"), Path(name, "long.txt")
        with path.open("w", encoding="utf-8") as file:
            copy = 0
            while file.tell() < megabytes * 1_000_000:
                file.write(f"{copy}\n{text}")
                copy += 1
        bare = child(python("import torch"), env=env).mebibytes
        for way in ("the first time", "again"):
            done = child(python(ENCODE, path), env=env)
            yield Row(f"{megabytes:,} MB", way, float(done.out), "s")
            yield Row(f"{megabytes:,} MB", f"{way}, per second", megabytes / float(done.out), "MB/s")
            yield Row(f"{megabytes:,} MB", f"{way}, memory", done.mebibytes - bare, "MiB")


def _draw(place: Path, count: int) -> None:
    """Write images of a hundred classes: two hundred of noise, each with its number after its end."""
    draws, noise = np.random.default_rng(0), list[bytes]()
    for _ in range(200):
        file = io.BytesIO()
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "JPEG")
        noise.append(file.getvalue())
    for label in range(100):
        (place / f"class{label:02}").mkdir(parents=True)
    for number in range(count):
        path = place / f"class{number % 100:02}" / f"{number:06}.jpg"
        path.write_bytes(noise[number % len(noise)] + number.to_bytes(4, "big"))
