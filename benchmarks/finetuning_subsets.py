"""Do the defaults of fine-tuning suit close and distant weights? Fashion-MNIST, 300 to 3,000 training images.

`fashion-mnist-convnet-bn` was trained on all 60,000 training images, so fine-tuning on a few of them can only
make it forget: as published, its test accuracy is 92.89%. `cifar10-resnet20` has seen photos of other
things. The defaults are compared with a grid of learning rates and epochs. The best of the grid is chosen by
the accuracy on the test images themselves.

    python benchmarks/finetuning_subsets.py                         # both, on 10,000 test images
    python benchmarks/finetuning_subsets.py cifar10-resnet20 --test 4000

Fashion-MNIST is found where it is installed (Debian's `dataset-fashion-mnist`), or downloaded.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch

import zoo
from zoo.registry.catalog import Catalog

# A dataset that opens Fashion-MNIST once in a process
PLUGIN = '''
import functools
from typing import Literal

from zoo import DatasetSpec, hookimpl
from zoo_images.image_set import ImageSet, ImageSplit
from zoo_images.mnist import fashion_mnist

whole = functools.cache(fashion_mnist)


def subset(*, train_size: int, test_size: int, size: int = 28, channels: Literal[1, 3] = 1):
    """Open the first training and test images."""
    data = whole(val_size=0, size=size, channels=channels)
    counts = {"train": train_size, "val": 0, "test": test_size}
    splits = {}
    for name, count in counts.items():
        split = data.split(name)
        splits[name] = ImageSplit(split.images[:count], split.labels[:count])
    fingerprint = f"{data.fingerprint} {train_size} {test_size}"
    return ImageSet(splits, classes=data.preprocess["classes"], fingerprint=fingerprint)


@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(
            name="subset", target="subset:subset", task="classification", summary="Part of Fashion-MNIST"
        )
    ]
'''
SIZES = (300, 1_000, 3_000)
SEEDS = (0, 1)


class Grid(NamedTuple):
    """Learning rates and epochs to compare the defaults of an architecture's weights with."""

    architecture: str
    rates: tuple[float, ...]
    epochs: tuple[int, ...]


WEIGHTS = {
    "fashion-mnist-convnet-bn": Grid("convnet-bn", (0.0003, 0.001, 0.003, 0.01, 0.03), (2, 8)),
    "cifar10-resnet20": Grid("resnet20", (0.02, 0.06, 0.2), (5, 15)),
}


class Trainings:
    """Trains on parts of Fashion-MNIST, in a temporary folder."""

    def __init__(self, home: Path, test_size: int) -> None:
        self.home, self.test_size, self.count = home.resolve(), test_size, 0
        plugin = self.home / "subset.py"
        plugin.write_text(PLUGIN)
        self.registry = zoo.Registry.discover(Catalog.shipped(), files=[plugin])

    def train(self, weights: str, train_size: int, **options: Any) -> tuple[float, dict[str, Any]]:
        """Return the accuracy on the test images, in percent, and the training options."""
        self.count += 1
        run = zoo.train(
            WEIGHTS[weights].architecture,
            "subset",
            from_weights=weights,
            data={"train_size": train_size, "test_size": self.test_size},
            run=self.home / str(self.count),
            progress=False,
            registry=self.registry,
            **options,
        )
        return 100 * run.result.metrics["test"]["accuracy"], run.recipe.train


def compare(trainings: Trainings, weights: str, train_size: int) -> None:
    """Print a row for the defaults, one for each point of the grid, and one for the difference."""

    def row(options: str, cells: str) -> None:
        print(f"| `{weights}` | {train_size:,} | {options} | {cells} |", flush=True)

    found = [trainings.train(weights, train_size, seed=seed) for seed in SEEDS]
    chosen = " ".join(f"{name}={found[0][1][name]}" for name in ("lr", "batch_size", "epochs"))
    default = statistics.mean(accuracy for accuracy, _ in found)
    row(f"defaults: `{chosen}`", ", ".join(f"{accuracy:.2f}" for accuracy, _ in found))
    _, rates, epochs = WEIGHTS[weights]
    grid: dict[str, float] = {}
    for lr, count in itertools.product(rates, epochs):
        options = f"`lr={lr} epochs={count}`"
        grid[options], _ = trainings.train(weights, train_size, lr=lr, epochs=count)
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
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", zoo.ZooWarning)
    print(f"| weights | images | options | accuracy |\n|{'---|' * 4}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(Path(folder), options.test)
        for weights in options.names or WEIGHTS:
            for size in options.sizes:
                compare(trainings, weights, size)


if __name__ == "__main__":
    main()
