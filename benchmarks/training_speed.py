"""Training speed: beside plain loops and other libraries' loaders, beside other programs, and its parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from benchmarks.measuring import (
    ZOO,
    benchmark,
    child,
    chosen,
    environment,
    in_turn,
    median_of,
    python,
    ratio_of,
    seconds,
)  # fmt: skip
from benchmarks.rows import Row
from zoo import Recipe, Registry, TrainConfig
from zoo.config.threads import idle_threads
from zoo.data.draws import Draws
from zoo.data.opening import open_dataset
from zoo.interfaces import Batch, Dataset, Split, make_task
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import autocast, resolve
from zoo.models.states import detach
from zoo.registry.methods import augmentations
from zoo.runs.checkpoint import RunIdentity
from zoo.runs.directory import RunDirectory
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.optimizers import make_optimizer
from zoo.training.state import TrainState
from zoo.training.step import train_step

STEPS = {"rnn": 400, "gru": 400, "resnet-lite": 150}
BESIDE_WORK = {
    "stdlib-lstm": ["stdlib-lstm"],
    "resnet-lite": ["resnet-lite", "shapes", "--data", "train_size=10000", "--epochs", "2"],
}
FREED = ("resnet20", "resnet20 training", "resnet-lite-wide training", "lstm training", "awd-lstm training")
# A setting of glibc's that changes nothing, and makes zoo leave memory alone
GIVEN_BACK = {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}


class Part(Dataset):
    """The first items of a training split, and no other split."""

    dims: Any = None
    preprocess: Any = None
    fingerprint: Any = ""

    def __init__(self, whole: Dataset, items: int) -> None:
        self.dims, self.preprocess = whole.dims, whole.preprocess
        train: Any = whole.split("train")
        text = isinstance(train, Tensor)
        self._train = train[:items] if text else type(train)(train.images[:items], train.labels[:items])

    def split(self, name: Split) -> Any:
        return self._train if name == "train" else ()


class Contest:
    """An architecture's first steps on real data, trained by zoo or by a bare loop."""

    def __init__(self, name: str, registry: Registry, *, device: str, like: str = "") -> None:
        self.entry, self.device = registry.architecture(name), device
        self.text = self.entry.spec.task == "language-modeling"
        self.dataset = "nietzsche" if self.text else "cifar10"
        whole = open_dataset(registry.dataset(self.dataset), {})
        self.config = registry.usual_config(registry.architecture(like or name))
        items = self.config.batch_size * STEPS.get(like or name, 250)
        self.data = Part(whole, items * (self.config.groups["text"].bptt if self.text else 1) + 1)
        self.spec = registry.task(self.entry.spec.task)
        self.task = make_task(registry, self.spec.name)
        self.batches = list(self.task.train_batches(self.data, self.config, seed=0, epoch=0, device=device))

    def zoo(self) -> None:
        """Train for an epoch, as `zoo train` does in a training of the usual length."""
        identity = RunIdentity(recipe=Recipe(architecture=self.entry.name, dataset=self.dataset))
        with tempfile.TemporaryDirectory() as folder, RunDirectory(Path(folder), identity) as store:
            host = Host(store=store, stop_after=1)
            fit(self.build(), self.task, self.data, self.config, host=host, device=self.device)

    def bare(self) -> None:
        """Train with as little code as possible."""
        model = self.build().to(self.device)
        (_bare_text if self.text else _bare_images)(model, self.batches, self.config, self.device)
        if self.device != "cpu":
            torch.accelerator.synchronize()

    def build(self) -> nn.Module:
        arguments = model_arguments(self.entry, self.spec, self.data.dims, {})
        return build_model(self.entry, arguments, seed=0).train()


def _bare_images(model: nn.Module, batches: list[Batch], config: TrainConfig, device: str) -> None:
    optimizer = make_optimizer(model, config)
    for batch in batches:
        with autocast(resolve(config.precision, device), device):
            loss = F.cross_entropy(model(batch.inputs), batch.targets)
        loss.backward()
        if config.clip_grad_norm:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
        optimizer.step()
        optimizer.zero_grad()


def _bare_text(model: nn.Module, batches: list[Batch], config: TrainConfig, device: str) -> None:
    optimizer, state = make_optimizer(model, config), None
    for batch in batches:
        with autocast(resolve(config.precision, device), device):
            logits, state, *_ = model(batch.inputs, state)
            loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        state = detach(state)


@benchmark(minutes=15, needs="CIFAR-10, Nietzsche")
def throughput(*names: str, against: str = "", rounds: int = 7, device: str = "cpu") -> Iterator[Row]:
    """Training speed, relative to a minimal PyTorch loop, or to that of another architecture.

    zoo shuffles, augments and normalizes its data, reports each step and writes a checkpoint. The bare loop
    has its batches ready in memory and does nothing but train. `--against OTHER` compares zoo's training of
    two architectures instead, both with the training configuration of the other.
    """
    registry = Registry.discover()
    for name in names or ("rnn", "gru", "lstm", "resnet-lite"):
        contest = Contest(name, registry, device=device, like=against)
        other = Contest(against, registry, device=device).zoo if against else contest.bare
        ways = {"zoo": lambda ours=contest.zoo: seconds(ours), "other": lambda other=other: seconds(other)}
        times = in_turn(ways, rounds)
        items = sum(batch.targets.numel() for batch in contest.batches)
        unit = f"{contest.task.processor.unit(contest.data.preprocess)}/s"
        yield median_of(name, f"rate on {device}", [items / taken for taken in times["zoo"]], unit)
        figure = f"beside {against or 'a bare loop'}"
        yield ratio_of(name, figure, times["other"], times["zoo"], "times as fast")


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


@benchmark(minutes=5, needs="CIFAR-10")
def feeding(*, name: str = "resnet-lite", steps: int = 60, rounds: int = 5) -> Iterator[Row]:
    """Training speed on images, relative to a DataLoader with two workers; augmentation as a share of a step.

    zoo augments and normalizes a whole batch at a time in the training process. The other loop is the usual
    one, in which each worker converts one image at a time to PIL, and crops, flips and normalizes it with
    torchvision. Each has its own default number of threads, and is timed from the end of the first step.
    """
    registry = Registry.discover()
    entry, spec = registry.architecture(name), registry.task("classification")
    data = open_dataset(registry.dataset("cifar10"), {"val_size": 0})
    config = registry.usual_config(entry).replace({"batch_size": 256, "augment": ["crop", "flip"]})
    precision = resolve(config.precision, "cpu")
    task, one_by_one = make_task(registry, spec.name), OneByOne(data)
    threads = {"zoo": idle_threads(), "DataLoader": torch.get_num_threads()}

    def build() -> nn.Module:
        return build_model(entry, model_arguments(entry, spec, data.dims, {}), seed=0).train()

    def zoos() -> float:
        torch.set_num_threads(threads["zoo"])
        state = TrainState.begin(build(), config, precision=precision, device="cpu")
        batches = task.train_batches(data, config, seed=0, epoch=0)
        return _after_the_first(steps, (train_step(state, task, batch, config, 0.01) for batch in batches))

    def loaders() -> float:
        torch.set_num_threads(threads["DataLoader"])
        model = build()
        optimizer = make_optimizer(model, config)

        def step(images: Tensor, labels: Tensor) -> None:
            with autocast(precision, "cpu"):
                loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        loader = DataLoader(one_by_one, batch_size=config.batch_size, shuffle=True, num_workers=2)
        return _after_the_first(steps, (step(*batch) for batch in loader))

    def augmenting() -> float:
        images = data.split("train").images[: config.batch_size]
        draws = Draws(torch.Generator().manual_seed(0), len(images))
        changes = [change for _, change in augmentations(config)]

        def augment() -> None:
            augmented = images
            for change in changes:
                augmented = change(augmented, draws)

        return seconds(lambda: [augment() for _ in range(steps)])

    times = in_turn({"zoo": zoos, "DataLoader": loaders, "augmenting": augmenting}, rounds)
    yield ratio_of(name, "beside a DataLoader", times["DataLoader"], times["zoo"], "times as fast")
    shares = [100 * alone / whole for alone, whole in zip(times["augmenting"], times["zoo"], strict=True)]
    yield median_of(name, "crop and flip", shares, "% of a step")


def _after_the_first(count: int, steps: Iterator[object]) -> float:
    """Return the seconds of so many steps after the first one."""
    next(steps)
    return seconds(lambda: [next(steps) for _ in range(count)])


@benchmark(minutes=15)
def busy(*names: str, rounds: int = 2, quick: bool = False) -> Iterator[Row]:
    """Training time while other programs run, with zoo's number of threads and with a thread for each core.

    Two trainings, that of `make demo` and two epochs of resnet-lite, each in turn with nothing beside it
    (idle), with a process that keeps a core busy (busy), and twice at once (pair). A figure is the time of
    training over that of a thread for each core, which spins as long as OpenMP lets it, on the idle machine.
    `--quick` tries a thread for each core only there: beside other work it takes minutes.
    """
    every = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))), "GOMP_SPINCOUNT": "300000"}
    threads: dict[str, dict[str, str]] = {"all cores": every, "default": {}}
    for name in chosen(names, BESIDE_WORK):
        ways = {
            (how, load): lambda load=load, how=how, name=name: _beside_work(name, threads[how], load)
            for load in ("idle", "busy", "pair")
            for how in threads
            if not quick or how == "default" or load == "idle"
        }
        times = in_turn({f"{how}, {load}": way for (how, load), way in ways.items()}, rounds, warmup=0)
        for case, taken in times.items():
            yield ratio_of(name, case, taken, times["all cores, idle"], "times as long")


def _beside_work(name: str, threads: Mapping[str, str], load: str) -> float:
    """Return the seconds of a training; of the slower one, if there are two."""
    openmp = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    env = {key: value for key, value in environment().items() if key not in openmp} | {**threads}
    with tempfile.TemporaryDirectory() as folder:
        spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"])] if load == "busy" else []
        started = [
            subprocess.Popen(
                [ZOO, "train", *BESIDE_WORK[name], "--run", f"{folder}/{number}", "--json"],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            for number in range(2 if load == "pair" else 1)
        ]  # fmt: skip
        try:
            return max(json.loads(each.communicate()[0])["seconds"] for each in started)
        finally:
            for process in spinning:
                process.kill()
                process.wait()


@benchmark(minutes=6)
def freed_memory(*, rounds: int = 5, threads: int = 1) -> Iterator[Row]:
    """Speed of a step in a process that keeps freed memory, relative to one that returns it to the system."""
    for name in FREED:
        code = python(f"from benchmarks import training_speed as it\nprint(it.step({name!r}, {threads}))")
        most: dict[str, float] = {"kept": 0.0, "given back": 0.0}

        def measured(way: str, code: Sequence[object] = code, most: dict[str, float] = most) -> float:
            done = child(code, env=environment(**(GIVEN_BACK if way == "given back" else {})))
            most[way] = max(most[way], done.mebibytes)
            return float(done.out)

        times = in_turn({way: lambda way=way, run=measured: run(way) for way in most}, rounds, warmup=0)
        yield ratio_of(name, "memory kept", times["given back"], times["kept"], "times as fast")
        yield Row(name, "more memory", most["kept"] - most["given back"], "MiB", rounds)


def step(name: str, threads: int) -> float:
    """Return the shortest of 20 steps of a network, in seconds."""
    torch.set_num_threads(threads)
    registry, (which, *trained) = Registry.discover(), name.split()
    entry = registry.architecture(which)
    text = entry.spec.task == "language-modeling"
    dims: Any = {"vocab_size": 100} if text else {"in_channels": 3, "image_size": 32, "num_classes": 10}
    sizes = {"hidden_size": 512, "num_layers": 2} if text else {}
    arguments = model_arguments(entry, registry.task(entry.spec.task), dims, sizes)
    model = build_model(entry, arguments, seed=0).train(bool(trained))
    inputs: Any = torch.zeros(32, 64, dtype=torch.int64) if text else torch.rand(64, 3, 32, 32)
    optimizer = torch.optim.Adam(model.parameters())

    def once() -> None:
        if not trained:
            with torch.inference_mode():
                model(inputs)
            return
        outputs = model(inputs, None)[0].flatten(0, 1) if text else model(inputs)
        F.cross_entropy(outputs, torch.zeros(len(outputs), dtype=torch.int64)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return min(seconds(once) for _ in range(20))
