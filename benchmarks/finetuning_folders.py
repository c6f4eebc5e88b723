"""Does fine-tuning on class folders keep what the weights know? 1,000 images of Fashion-MNIST, 3 seeds.

The folders are in another order than the classes of `fashion-mnist-convnet-bn`, and are spelled otherwise. In
the second row, one class has a name that the weights do not know. The published weights are measured on the
same test images, under the names that they know.

    python benchmarks/finetuning_folders.py

Fashion-MNIST is found where it is installed (Debian's `dataset-fashion-mnist`), or downloaded.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import zoo

WEIGHTS = "fashion-mnist-convnet-bn"
NAMES = (
    "T-shirt_top",
    "trouser",
    "Pull over",
    "dress",
    "coat",
    "SANDAL",
    "shirt",
    "sneaker",
    "bag",
    "ankle_boot",
)
SEEDS = (0, 1, 2)


def write(split: Any, count: int, root: Path, names: tuple[str, ...]) -> str:
    """Write the first images of a split in class folders; return the folder."""
    for number in range(count):
        home = root / names[int(split.labels[number])]
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.images[number, 0].numpy()).save(home / f"{number}.png")
    return str(root)


def accuracy(weights: str | Path, root: str) -> float:
    found = zoo.load(weights, progress=False).evaluate(dataset="folder", data={"root": root}, progress=False)
    return 100 * found["metrics"]["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune on class folders of Fashion-MNIST.")
    parser.add_argument("--test", type=int, default=10_000, help="Test images, the first ones.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", zoo.ZooWarning)
    data = zoo.open_dataset("fashion-mnist", val_size=0, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        known = write(data.split("test"), options.test, home / "known", NAMES)
        print(f"published weights: {accuracy(WEIGHTS, known):.2f}")
        for what, first in (("all classes known", NAMES[0]), ("one class new", "T-shirt")):
            names = (first, *NAMES[1:])
            place = home / what
            train = write(data.split("train"), 1_000, place / "train", names)
            test = write(data.split("test"), options.test, place / "test", names)
            found: list[float] = []
            for seed in SEEDS:
                settings: dict[str, Any] = {"from_weights": WEIGHTS, "seed": seed, "progress": False}
                given = {"root": train, "test_share": 0.0}
                run = zoo.train("convnet-bn", "folder", data=given, run=place / f"run-{seed}", **settings)
                found.append(accuracy(run.directory, test))
            each = ", ".join(f"{one:.2f}" for one in found)
            print(f"{what}: {sum(found) / len(found):.2f} ({each})", flush=True)


if __name__ == "__main__":
    main()
