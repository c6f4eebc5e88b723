"""Training end to end against a bare loop: same model, precision and batches, in turn, in one process.

`zoo` reads its data set, shuffles, augments, normalises, reports each step and writes a checkpoint.
The bare loop finds its batches ready in memory and does nothing but train.

    python benchmarks/throughput.py [lstm] [resnet-lite] [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from zoo import Experiment, Recipe, Registry
from zoo.building import build_model, open_dataset
from zoo.interfaces import Batch, Dataset, Split
from zoo.tasks import make_task
from zoo.training import fit
from zoo.training.directory import RunDirectory
from zoo.training.optimizers import make_optimizer
from zoo.training.precision import autocast, resolve

STEPS = {"lstm": 250, "resnet-lite": 150}
DATA = {"lstm": "nietzsche", "resnet-lite": "cifar10"}


class Part(Dataset):
    """The first items of a training split, with nothing to evaluate on."""

    def __init__(self, whole: Dataset, items: int) -> None:
        self._whole = whole
        train = whole.split("train")
        self._train = train[:items] if isinstance(train, torch.Tensor) else _cut(train, items)

    @property
    def dims(self) -> Any:
        return self._whole.dims

    @property
    def preprocess(self) -> Any:
        return self._whole.preprocess

    @property
    def fingerprint(self) -> str:
        return ""

    def split(self, name: Split) -> Any:
        return self._train if name == "train" else ()


def _cut(images: Any, items: int) -> Any:
    return type(images)(images.images[:items], images.labels[:items])


def bare_images(model: nn.Module, batches: list[Batch], recipe: Recipe) -> None:
    optimizer = make_optimizer(model, recipe)
    for batch in batches:
        with autocast(resolve(recipe.precision, "cpu"), "cpu"):
            loss = F.cross_entropy(model(batch.inputs), batch.targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def bare_text(model: nn.Module, batches: list[Batch], recipe: Recipe) -> None:
    optimizer = make_optimizer(model, recipe)
    state = None
    for batch in batches:
        with autocast(resolve(recipe.precision, "cpu"), "cpu"):
            logits, state = model(batch.inputs, state)
            loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        state = tuple(part.detach() for part in state)


def compare(name: str, registry: Registry, rounds: int) -> None:
    entry = registry.architecture(name)
    whole = open_dataset(registry.dataset(DATA[name]), {})
    recipe = entry.spec.recipe.replace({"epochs": 1})
    steps = STEPS[name]
    items = recipe.batch_size * steps * (recipe.bptt if entry.spec.task == "language-modelling" else 1) + 1
    data = Part(whole, items)
    task = make_task(entry.spec.task)
    batches = list(task.train_batches(data, recipe, seed=0, epoch=0))
    bare: Callable[..., None] = bare_text if entry.spec.task == "language-modelling" else bare_images

    def build() -> nn.Module:
        return build_model(entry, dict(whole.dims), seed=0).train()

    def run_zoo(folder: Path) -> None:
        experiment = Experiment(architecture=entry.name, dataset=DATA[name])
        with RunDirectory(folder, experiment, resume=False) as store:
            fit(build(), task, data, recipe, store=store)

    ratios: list[float] = []
    for round_ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            taken: dict[str, float] = {}
            for who in ("zoo", "bare") if round_ % 2 else ("bare", "zoo"):
                start = time.perf_counter()
                run_zoo(Path(folder)) if who == "zoo" else bare(build(), batches, recipe)
                taken[who] = time.perf_counter() - start
        if round_:  # the first one warms up
            ratios.append(taken["bare"] / taken["zoo"])
            rate = sum(batch.targets.numel() for batch in batches) / taken["zoo"]
            unit = task.unit(whole.preprocess)
            print(f"{name} zoo {taken['zoo']:6.2f} s  bare {taken['bare']:6.2f} s  {rate:8,.0f} {unit}/s")
    print(
        f"{name:12} zoo / bare throughput: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}), {len(batches)} steps x {rounds} (0.93 is asked)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["lstm", "resnet-lite"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    registry = Registry.discover()
    for name in options.names:
        compare(name, registry, options.rounds)


if __name__ == "__main__":
    main()
