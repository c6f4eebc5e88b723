"""Promises about threads: any number of them use zoo at once, also beside a training."""

from __future__ import annotations

import hashlib
import io
import random
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

import zoo
from tests.nightly.reliability import toys
from tests.nightly.reliability.figure import Figure, counted
from tests.trainings import train as train_recipe
from zoo import Registry, ZooWarning
from zoo.api.model import Model
from zoo.config.recipe import Recipe
from zoo.files import style

Jobs = Mapping[str, Callable[[], str]]
"""Each does something with zoo, and returns a digest of the answer."""

TRAININGS: Mapping[str, dict[str, Any]] = {
    "text": {
        "architecture": "charrnn/lstm",
        "dataset": "text/files",
        "model": {"hidden_size": 24, "num_layers": 2, "dropout": 0.4},
        "train": {"epochs": 2, "batch_size": 8, "bptt": 12, "precision": "fp32"},
    },
    "images": {
        "architecture": "convnet/resnet-lite",
        "dataset": "images/folder",
        "model": {"widths": [4, 8], "dropout": 0.3},
        "train": {"epochs": 2, "batch_size": 8, "augment": ["crop"], "precision": "fp32"},
    },
}

SLOW = ("plot", "dynamic evaluation", "activations", "discover")
"""Work that takes seconds, and so is done less often."""


def mixed(folder: Path, *, threads: int, each: int) -> Figure:
    """Do many things with zoo in many threads at once; compare the answers with those of one thread."""
    with _quiet():
        jobs = _jobs(folder)
        expected = {name: job() for name, job in jobs.items()}
        broken = _at_once(jobs, expected, threads, each)
    count = threads * each
    return counted(
        f"{threads} parallel threads, each with {each:,} calls that load, build, run or sample a model",
        count,
        broken,
        "results were equal to those from one thread",
        f"{len(jobs)} kinds of calls, all on the same two models",
    )


def beside_a_training(folder: Path, *, rounds: int, threads: int = 3) -> Figure:
    """Train while other threads use zoo; the training must end bit-equal, and the answers be right."""
    broken: list[str] = []
    tried = answers = 0
    with _quiet():
        jobs = _jobs(folder)
        alone = {name: _trained(folder, name, f"{name}-alone") for name in TRAININGS}
        expected = {name: job() for name, job in jobs.items()}
        for number in range(rounds):
            for name in TRAININGS:
                tried += 1
                done = threading.Event()
                with ThreadPoolExecutor(threads) as pool:
                    others = [pool.submit(_until, done, jobs, expected, number + n) for n in range(threads)]
                    try:
                        outcome = _trained(folder, name, f"{name}-{number}")
                    finally:
                        done.set()
                    for other in others:
                        count, wrong = other.result()
                        answers += count
                        broken += wrong[:1]
                if outcome != alone[name]:
                    broken.append(f"{name}-{number} is not bit-equal")
    return Figure(
        f"training while {threads} other threads load, build, sample, evaluate and analyze models",
        tried,
        max(tried - len(broken), 0),
        "training runs were bit-identical to an undisturbed run",
        f"{answers:,} calls during training, all of which returned the correct result" if not broken else "",
        tuple(broken),
    )


def _quiet() -> warnings.catch_warnings[None]:
    return warnings.catch_warnings(action="ignore", category=ZooWarning)


def _at_once(jobs: Jobs, expected: Mapping[str, str], threads: int, each: int) -> list[str]:
    """Return what went wrong in so many threads; all begin at the same time, and switch often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    go = threading.Barrier(threads)

    def work(number: int) -> list[str]:
        draw = random.Random(number)
        names = [SLOW[number % len(SLOW)], *_chosen(draw, jobs, each - 1)]
        go.wait()
        return [wrong for name in names if (wrong := _wrong(name, jobs, expected))]

    try:
        with ThreadPoolExecutor(threads) as pool:
            return [wrong for some in pool.map(work, range(threads)) for wrong in some]
    finally:
        sys.setswitchinterval(before)


def _until(
    done: threading.Event, jobs: Jobs, expected: Mapping[str, str], seed: int
) -> tuple[int, list[str]]:
    """Return how many answers came until an event, and what was wrong with them."""
    draw, count, broken = random.Random(seed), 0, list[str]()
    while not done.is_set():
        count += 1
        (name,) = _chosen(draw, jobs, 1)
        broken += filter(None, [_wrong(name, jobs, expected)])
    return count, broken


def _chosen(draw: random.Random, jobs: Jobs, count: int) -> list[str]:
    return draw.choices([*jobs], [0.01 if name in SLOW else 1 for name in jobs], k=count)


def _wrong(name: str, jobs: Jobs, expected: Mapping[str, str]) -> str:
    """Return what is wrong with an answer, or an empty string."""
    try:
        return "" if jobs[name]() == expected[name] else f"{name} has another answer"
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"


def _trained(folder: Path, name: str, run: str) -> dict[str, Any]:
    data = {"paths": [str(folder / "text.txt")]} if name == "text" else {}
    data |= {"root": str(folder / "images"), "size": 16} if name == "images" else {}
    recipe = Recipe(**TRAININGS[name], data=data, threads=1)
    train_recipe(recipe, Registry.discover(), directory=folder / run)
    return toys.outcome(folder / run)


def _jobs(folder: Path) -> Jobs:
    """Train two toys, and return things to do with them."""
    toys.lay_out(folder)
    registry = Registry.discover()
    for name in TRAININGS:
        _trained(folder, name, f"{name}-run")
    text, net = (
        zoo.load(folder / f"{name}-run", device="cpu", progress=False, registry=registry)
        for name in TRAININGS
    )
    images, tokens = torch.rand(4, 3, 16, 16), torch.arange(12).view(6, 2)
    quiet: dict[str, Any] = {"progress": False}
    return {
        "load": lambda: _weights(_loaded(folder / "text-run", registry).module),
        "load images": lambda: _weights(_loaded(folder / "images-run", registry).module),
        "create_model": lambda: _weights(zoo.create_model("resnet-lite", seed=3, registry=registry)),
        "create_model without a seed": lambda: str(zoo.create_model("gru", registry=registry)),
        "forward pass": lambda: _digest(net(images), *text(tokens)[:1]),
        "sample": lambda: str(text.sample(max_new_tokens=20, seed=5, **quiet)),
        "stream": lambda: "".join(
            piece for piece, _ in text.sample("the ", max_new_tokens=15, seed=6).stream()
        ),
        "evaluate": lambda: str(net.evaluate("val", **quiet)["metrics"]),
        "evaluate by views": lambda: str(net.evaluate("val", tta=True, **quiet)["metrics"]),
        "evaluate text": lambda: str(text.evaluate("val", **quiet)["metrics"]),
        "dynamic evaluation": lambda: str(text.analyze("dynamic-evaluation", split="val", **quiet).scores),
        "grad-cam": lambda: _maps(net, "grad-cam"),
        "score-cam": lambda: _maps(net, "score-cam"),
        "activations": lambda: _figure(text.analyze("activations", split="val", **quiet)),
        "open_dataset": lambda: _opened(folder, registry),
        "discover": lambda: str([plugin.provides for plugin in Registry.discover().plugins]),
        "plot": lambda: _plotted(zoo.Run(folder / "text-run", registry=registry)),
    }


def _loaded(path: Path, registry: Registry) -> Model:
    return zoo.load(path, device="cpu", progress=False, registry=registry)


def _opened(folder: Path, registry: Registry) -> str:
    opened = zoo.open_dataset("files", paths=str(folder / "text.txt"), progress=False, registry=registry)
    return opened.fingerprint


def _maps(model: Model, analyzer: str) -> str:
    found = model.analyze(analyzer, split="val", indices=[0, 3], progress=False)
    assert found.analysis.maps is not None
    return _digest(found.analysis.maps)


def _plotted(run: zoo.Run) -> str:
    return hashlib.sha256(style.png(run.plot())).hexdigest()


def _figure(found: Any) -> str:
    return hashlib.sha256(b"".join(make() for make in found.analysis.figures.values())).hexdigest()


def _weights(module: nn.Module) -> str:
    return _digest(*module.state_dict().values())


def _digest(*tensors: torch.Tensor) -> str:
    buffer = io.BytesIO()
    for tensor in tensors:
        buffer.write(tensor.detach().contiguous().numpy().tobytes())
    return hashlib.sha256(buffer.getvalue()).hexdigest()
