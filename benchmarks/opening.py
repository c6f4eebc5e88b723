"""Opening 100,000 images of the user's own: the first time, again, and with everything read again.

    python benchmarks/opening.py [--images 100000]

Each opening is a process of its own; its time is that of
`zoo.open_dataset`, once torch has been imported. The images are JPEG files of 32 pixels, no two of them
equal, read at 64; what is remembered and decoded goes to a folder that is removed in the end.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 100
OPEN = """
import sys, time
import torch
import zoo
from zoo.api import models_and_datasets
start = time.perf_counter()
data = zoo.open_dataset("folder", root=sys.argv[1], progress=False)
print(time.perf_counter() - start, data.fingerprint)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Open many images again and again.")
    parser.add_argument("--images", type=int, default=100_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _draw(home / "images", count)
        time.sleep(3)  # what was written just now is not remembered
        env = os.environ | {"ZOO_CACHE": str(home / "cache")}
        ways = {"the first time": {}, "again": {}, "and again": {}, "verified": {"ZOO_VERIFY": "1"}}
        found: set[str] = set()
        for name, more in ways.items():
            seconds, fingerprint = _opened(home / "images", env | more)
            found.add(fingerprint)
            print(f"{count:,} images opened {name}: {seconds:.1f} s", flush=True)
        assert len(found) == 1


def _opened(place: Path, env: dict[str, str]) -> tuple[float, str]:
    command = [sys.executable, "-c", OPEN, str(place)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    seconds, fingerprint = done.stdout.split()
    return float(seconds), fingerprint


def _draw(place: Path, count: int) -> None:
    """Write images of a hundred classes: two hundred of noise, each with its number after its end."""
    draws, noise = np.random.default_rng(0), list[bytes]()
    for _ in range(200):
        file = io.BytesIO()
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "JPEG")
        noise.append(file.getvalue())
    for label in range(CLASSES):
        (place / f"class{label:02}").mkdir(parents=True)
    for number in range(count):
        path = place / f"class{number % CLASSES:02}" / f"{number:06}.jpg"
        path.write_bytes(noise[number % len(noise)] + number.to_bytes(4, "big"))


if __name__ == "__main__":
    main()
