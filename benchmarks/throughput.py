"""Training end to end against a bare loop: same model, precision and batches, in turn, in one process.

zoo shuffles, augments and normalizes its data, reports each step and writes a checkpoint. The bare loop has
its batches ready in memory and does nothing but train. `--against OTHER` compares zoo's training of two
architectures instead, both with the training configuration of the other. On a GPU the bare loop has its
batches there, and both are timed until it has computed everything.

    python benchmarks/throughput.py [rnn gru lstm resnet-lite] [--rounds 7] [--device cuda]
    python benchmarks/throughput.py awd-lstm --against lstm
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

from zoo import Recipe, Registry, TrainConfig
from zoo.data.opening import open_dataset
from zoo.interfaces import Batch, Dataset, Split, make_task
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import autocast, resolve
from zoo.models.states import detach
from zoo.runs.checkpoint import RunIdentity
from zoo.runs.directory import RunDirectory
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.optimizers import make_optimizer

STEPS = {"rnn": 400, "gru": 400, "resnet-lite": 150}
USUAL_STEPS = 250


class Part(Dataset):
    """The first items of a training split, and no other split."""

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


def bare_images(model: nn.Module, batches: list[Batch], config: TrainConfig, device: str) -> None:
    optimizer = make_optimizer(model, config)
    for batch in batches:
        with autocast(resolve(config.precision, device), device):
            loss = F.cross_entropy(model(batch.inputs), batch.targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def bare_text(model: nn.Module, batches: list[Batch], config: TrainConfig, device: str) -> None:
    optimizer = make_optimizer(model, config)
    state = None
    for batch in batches:
        with autocast(resolve(config.precision, device), device):
            logits, state, *_ = model(batch.inputs, state)
            loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        state = detach(state)


class Contest:
    """An architecture's first steps on real data, trained by zoo or by a bare loop."""

    def __init__(self, name: str, registry: Registry, *, device: str, like: str | None = None) -> None:
        self.entry, self.device = registry.architecture(name), device
        text = self.entry.spec.task == "language-modeling"
        self.dataset = "nietzsche" if text else "cifar10"
        whole = open_dataset(registry.dataset(self.dataset), {})
        self.config = registry.usual_config(registry.architecture(like or name)).replace({"epochs": 1})
        steps = STEPS.get(like or name, USUAL_STEPS)
        self.data = Part(
            whole, self.config.batch_size * steps * (self.config.groups["text"].bptt if text else 1) + 1
        )
        self.spec = registry.task(self.entry.spec.task)
        self.task = make_task(registry, self.spec.name)
        self.batches = list(self.task.train_batches(self.data, self.config, seed=0, epoch=0, device=device))
        self._bare: Callable[..., None] = bare_text if text else bare_images

    def rate(self, seconds: float) -> str:
        """Return items per second, given the seconds of the whole training."""
        items = sum(batch.targets.numel() for batch in self.batches)
        return f"{items / seconds:8,.0f} {self.task.processor.unit(self.data.preprocess)}/s"

    def zoo(self) -> None:
        """Train as `zoo train` does."""
        recipe = Recipe(architecture=self.entry.name, dataset=self.dataset)
        identity = RunIdentity(recipe=recipe)
        with tempfile.TemporaryDirectory() as folder, RunDirectory(Path(folder), identity) as store:
            fit(self._build(), self.task, self.data, self.config, host=Host(store=store), device=self.device)

    def bare(self) -> None:
        """Train with as little code as possible."""
        self._bare(self._build().to(self.device), self.batches, self.config, self.device)
        if self.device != "cpu":
            torch.accelerator.synchronize()

    def _build(self) -> nn.Module:
        arguments = model_arguments(self.entry, self.spec, self.data.dims, {})
        return build_model(self.entry, arguments, seed=0).train()


def ratio(zoo: Callable[[], None], other: Callable[[], None], rounds: int) -> tuple[list[float], float]:
    """Run both in turn; return zoo's speed as a multiple of the other in each round, and its last seconds."""
    ratios: list[float] = []
    seconds: dict[Callable[[], None], float] = {}
    for round_ in range(rounds + 1):
        for run in (zoo, other) if round_ % 2 else (other, zoo):
            start = time.perf_counter()
            run()
            seconds[run] = time.perf_counter() - start
        if round_:  # the first one warms up
            ratios.append(seconds[other] / seconds[zoo])
    return ratios, seconds[zoo]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time training end to end.")
    parser.add_argument("names", nargs="*", default=["rnn", "gru", "lstm", "resnet-lite"])
    parser.add_argument("--against", metavar="OTHER", help="Compare with this architecture.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    registry = Registry.discover()
    for name in options.names:
        contest = Contest(name, registry, device=options.device, like=options.against)
        against = options.against
        other = Contest(against, registry, device=options.device).zoo if against else contest.bare
        ratios, seconds = ratio(contest.zoo, other, options.rounds)
        print(
            f"{name:12} against {against or 'a bare loop'}: median {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}), {len(contest.batches)} steps × {options.rounds}, "
            f"{contest.rate(seconds)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
