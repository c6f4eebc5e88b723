"""Do the defaults of fine-tuning suit close and distant weights? Fashion-MNIST, 300 to 3,000 training images.

`fashion-mnist-convnet-bn` was trained on all 60,000 training images, so fine-tuning on a few of them can only
make it forget: as published, its test accuracy is 92.89%. `cifar10-resnet20` has seen photos of other
things. The classes have other names than those of the weights, so the last layer is new. The defaults are
compared with a grid of learning rates, each for all layers and for the last layer alone. The best of the grid
is chosen by the accuracy on the test images themselves.

    python benchmarks/finetuning_subsets.py                         # both, on 10,000 test images
    python benchmarks/finetuning_subsets.py cifar10-resnet20 --test 2000
    python benchmarks/finetuning_subsets.py fashion-mnist-convnet-bn --known   # with the names of the weights

Fashion-MNIST is found where it is installed (Debian's `dataset-fashion-mnist`), or downloaded.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

import zoo
from zoo_images.mnist import fashion_mnist

SIZES = (300, 1_000, 3_000)
SEEDS = (0, 1, 2)


class Start(NamedTuple):
    """Weights to start from, their architecture, all layers but its last, and learning rates to try."""

    architecture: str
    below: tuple[str, ...]
    rates: tuple[float, ...]


WEIGHTS = {
    "fashion-mnist-convnet-bn": Start("convnet-bn", ("stem", "stages"), (0.0003, 0.002, 0.01)),
    "cifar10-resnet20": Start("resnet20", ("conv", "norm", "stages"), (0.02, 0.06, 0.2)),
}


class Trainings:
    """Trains on parts of Fashion-MNIST, in a temporary folder."""

    def __init__(self, home: Path, test_size: int, *, known: bool) -> None:
        self.home, self.test_size, self.known, self.count = home, test_size, known, 0
        self.small = fashion_mnist(val_size=0)
        self.like_cifar10 = fashion_mnist(val_size=0, size=32, channels=3)

    def images(self, weights: str, split: Literal["train", "test"], count: int) -> tuple[Any, Any]:
        """Return the first images of a split, and the names of their classes."""
        data = self.like_cifar10 if "cifar10" in weights else self.small
        part, names = data.split(split), data.preprocess["classes"]
        given = names if self.known else [f"class {number}" for number in range(len(names))]
        return np.asarray(part.images[:count]), np.asarray(given)[np.asarray(part.labels[:count])]

    def train(self, weights: str, train_size: int, **options: Any) -> tuple[float, dict[str, Any]]:
        """Return the accuracy on the test images, in percent, and the training options."""
        self.count += 1
        run = zoo.train(
            WEIGHTS[weights].architecture,
            {
                "train": self.images(weights, "train", train_size),
                "test": self.images(weights, "test", self.test_size),
            },
            from_weights=weights,
            run=self.home / str(self.count),
            progress=False,
            **options,
        )
        return 100 * run.result.metrics["test"]["accuracy"], run.recipe.train


def compare(trainings: Trainings, weights: str, train_size: int) -> None:
    """Print a row for the defaults, one for each point of the grid, and one for the difference."""

    def row(options: str, cells: str) -> None:
        print(f"| `{weights}` | {train_size:,} | {options} | {cells} |", flush=True)

    found = [trainings.train(weights, train_size, seed=seed) for seed in SEEDS]
    chosen = " ".join(f"{name}={found[0][1][name]}" for name in ("lr", "batch_size", "epochs", "freeze"))
    default = statistics.mean(accuracy for accuracy, _ in found)
    row(f"defaults: `{chosen}`", ", ".join(f"{accuracy:.2f}" for accuracy, _ in found))
    start = WEIGHTS[weights]
    grid: dict[str, float] = {}
    for lr, alone in itertools.product(start.rates, (False, True)):
        options = f"`lr={lr}`, {'the last layer alone' if alone else 'all layers'}"
        grid[options], _ = trainings.train(
            weights, train_size, lr=lr, freeze=start.below if alone else (), epochs=16
        )
        row(options, f"{grid[options]:.2f}")
    best = max(grid, key=lambda options: grid[options])
    row(f"points by which the best, {best}, is better", f"{grid[best] - default:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare fine-tuning defaults with a grid, on Fashion-MNIST."
    )
    parser.add_argument("names", nargs="*", help=f"These weights only: {', '.join(WEIGHTS)}.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="Numbers of training images.")
    parser.add_argument("--test", type=int, default=10_000, help="Test images, the first ones.")
    parser.add_argument("--known", action="store_true", help="Name the classes as the weights do.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", zoo.ZooWarning)
    print(f"| weights | images | options | accuracy |\n|{'---|' * 4}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(Path(folder).resolve(), options.test, known=options.known)
        for weights in options.names or WEIGHTS:
            for size in options.sizes:
                compare(trainings, weights, size)


if __name__ == "__main__":
    main()
