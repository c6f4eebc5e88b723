"""The cost of feeding images: zoo's pipeline against a DataLoader, and augmentation as a share of a step.

zoo augments and normalizes a whole batch at a time in the training process. The other loop is the usual one:
a torch DataLoader with two workers, each of which converts one image at a time to PIL, and crops, flips and
normalizes it with torchvision. Same network, precision and steps, in turn, in one process, each with its own
default number of threads: zoo's is a thread for each core that is idle when the benchmark starts.

    python benchmarks/feeding.py [resnet-lite] [--steps 60] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from zoo import Registry
from zoo.config.threads import idle_threads
from zoo.data.draws import Draws
from zoo.data.opening import open_dataset
from zoo.interfaces import Dataset
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import Precision, autocast, resolve
from zoo.registry.methods import augmentations
from zoo.training.optimizers import make_optimizer
from zoo.training.state import TrainState
from zoo.training.step import train_step
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION


class OneByOne(TorchDataset[tuple[Tensor, int]]):
    """CIFAR-10 as torchvision serves it: one image at a time, each through its transforms."""

    def __init__(self, data: Dataset) -> None:
        split = data.split("train")
        self._arrays = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = split.labels.tolist()
        self._transform: Callable[[Image.Image], Any] = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.preprocess["mean"], data.preprocess["std"]),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._arrays[index])), self._labels[index]


class Contest:
    """A network that either loop trains for a number of steps."""

    def __init__(self, name: str, steps: int) -> None:
        registry = Registry.discover()
        self.task = registry.task("classification")
        self.entry = registry.architecture(name)
        self.data = open_dataset(registry.dataset("cifar10"), {"val_size": 0})
        self.config = registry.usual_config(self.entry).replace(
            {"batch_size": 256, "augment": ["crop", "flip"]}
        )
        self.precision: Precision = resolve(self.config.precision, "cpu")
        self.steps = steps
        self.torchs = torch.get_num_threads()
        self.zoos = idle_threads()
        self.one_by_one = OneByOne(self.data)

    def build(self) -> nn.Module:
        """Return the network as it is before training."""
        arguments = model_arguments(self.entry, self.task, self.data.dims, {})
        return build_model(self.entry, arguments, seed=0).train()

    def zoo(self) -> float:
        """Return the seconds that zoo takes, from the end of the first step to the end of the last."""
        torch.set_num_threads(self.zoos)
        state = TrainState.begin(self.build(), self.config, precision=self.precision, device="cpu")
        task = Classification(CLASSIFICATION)
        start = 0.0
        for batch in task.train_batches(self.data, self.config, seed=0, epoch=0):
            train_step(state, task, batch, self.config, 0.01)
            start = start or time.perf_counter()
            if batch.index == self.steps:
                break
        return time.perf_counter() - start

    def loader(self) -> float:
        """Return the seconds that the loop with a DataLoader takes, measured alike."""
        torch.set_num_threads(self.torchs)
        model, config = self.build(), self.config
        optimizer = make_optimizer(model, config)
        start = 0.0
        loader = DataLoader(self.one_by_one, batch_size=config.batch_size, shuffle=True, num_workers=2)
        for index, (images, labels) in enumerate(loader):
            with autocast(self.precision, "cpu"):
                loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            start = start or time.perf_counter()
            if index == self.steps:
                break
        return time.perf_counter() - start

    def augmentation(self) -> float:
        """Return the seconds that augmenting as many batches takes by itself."""
        images = self.data.split("train").images[: self.config.batch_size]
        draws = Draws(torch.Generator().manual_seed(0), len(images))
        changes = [change for _, change in augmentations(self.config)]
        start = time.perf_counter()
        for _ in range(self.steps):
            augmented = images
            for change in changes:
                augmented = change(augmented, draws)
        return time.perf_counter() - start


def in_turn(runs: tuple[Callable[[], float], ...], rounds: int) -> list[list[float]]:
    """Return the seconds of each run in each round, after one that warms up."""
    for run in runs:
        run()
    return [[run() for run in runs] for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time feeding images.")
    parser.add_argument("name", nargs="?", default="resnet-lite", metavar="ARCHITECTURE")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    contest = Contest(options.name, options.steps)
    rows = in_turn((contest.zoo, contest.loader, contest.augmentation), options.rounds)
    faster = [loader / zoo for zoo, loader, _ in rows]
    shares = [alone / zoo for zoo, _, alone in rows]
    print(f"threads: {contest.zoos} in zoo, {contest.torchs} in the loop with a DataLoader")
    images = options.steps * contest.config.batch_size
    print(
        f"{options.name}: {images / rows[-1][0]:,.0f} images/s, {statistics.median(faster):.2f} times a "
        f"DataLoader ({min(faster):.2f} to {max(faster):.2f}) over {len(rows)} rounds"
    )
    augmentations = " and ".join(contest.config.groups["images"].augment)
    print(
        f"{augmentations} take {statistics.median(shares):.2%} of a step "
        f"({min(shares):.2%} to {max(shares):.2%})"
    )


if __name__ == "__main__":
    main()
