"""Opening data again, against reading as many bytes with numpy.

    ZOO_DATA=... python benchmarks/reopening.py [cifar10 shapes ...] [--times 5]

Each measurement is a process of its own that has imported all code, by opening eight small images. It opens
the data and looks at every byte of its images, and reads a file of as many bytes with `np.fromfile`, in turn;
both are in the system's page cache. Printed are the medians of both orders. What is kept goes to a folder
that is removed in the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

OPEN = """
import sys, time
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
    splits = [data.split(split).images for split in ("train", "val", "test")]
    for images in splits:
        images.numpy().max()
    return once, time.perf_counter() - start, sum(images.numpy().nbytes for images in splits)

def read():
    start = time.perf_counter()
    content = np.fromfile(place, np.uint8)
    once = time.perf_counter() - start
    content.max()
    return once, time.perf_counter() - start

if first == "opened":
    once, touched, count = opened()
    print(once, touched, count, *read())
else:
    times = read()
    print(*opened(), *times)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Open data again, against reading its bytes with numpy.")
    parser.add_argument("names", nargs="*", default=["cifar10", "shapes"])
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"ZOO_CACHE": f"{folder}/cache"}
        for name in arguments.names:
            place = f"{folder}/bytes"
            with open(place, "wb") as file:  # noqa: PTH123
                file.write(b"0")
            first, _, count, *_ = _measured(name, place, "opened", env)
            with open(place, "wb") as file:  # noqa: PTH123
                file.write(os.urandom(int(count)))
            turns = ("opened", "read") * arguments.times
            again, touched, _, read, read_touched = map(
                statistics.median, zip(*(_measured(name, place, turn, env) for turn in turns), strict=True)
            )
            print(
                f"{name}, {count / 1e6:.1f} MB: opened the first time in {first * 1e3:,.0f} ms, "
                f"again in {again * 1e3:.1f} ms, read with numpy in {read * 1e3:.1f} ms: {again / read:.2f}; "
                f"with each byte looked at, {touched / read_touched:.2f}",
                flush=True,
            )


def _measured(name: str, place: str, first: str, env: dict[str, str]) -> list[float]:
    command = [sys.executable, "-c", OPEN, name, place, first]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
