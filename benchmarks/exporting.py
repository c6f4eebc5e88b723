"""Models as ONNX files: whether they predict the same, how fast they are, and what they need to run."""

from __future__ import annotations

import contextlib
import json
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import zoo
from benchmarks.measuring import ZOO, benchmark, child, environment, in_turn, median_of, ratio_of, seconds
from benchmarks.rows import ROOT, Row
from zoo import Model, Registry, ZooError
from zoo.files.cards import Card, DatasetCard
from zoo.interfaces import CarriesState, Task, make_task
from zoo.models.building import build_model, model_arguments
from zoo.models.module_runner import runner_of
from zoo.processors import TakesItems

NAME = "cifar10-resnet20"


def untrained(name: str, registry: Registry, **dims: int) -> Model:
    """Return a new model of an architecture, for its task's usual dims or others."""
    entry = registry.architecture(name)
    task = registry.task(entry.spec.task)
    arguments = model_arguments(entry, task, {**task.dims, **dims}, {})
    preprocess: dict[str, Any] = {
        "size": dims.get("image_size", 32),
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2470, 0.2435, 0.2616],
        "classes": [f"class {number}" for number in range(dims.get("num_classes", 10))],
    }
    if "vocab_size" in task.dims:
        letters = [chr(ord("A") + number) for number in range(task.dims["vocab_size"] - 2)]
        texts = ["<unk>", "<pad>", *letters]
        preprocess = {"tokens": "char", "lower": False, "vocabulary": texts, "specials": 2}
    none: dict[str, Any] = {name: {} for name in ("training", "progress", "metrics", "versions")}
    data = DatasetCard(name="none", options={}, fingerprint="")
    card = Card(
        architecture=entry.name, arguments=arguments, task=task.name, dataset=data, preprocess=preprocess,
        seed=0, **none,
    )  # fmt: skip
    module = build_model(entry, arguments, seed=0).eval()
    return Model(runner_of(module, card, registry), card, path=Path(f"{name}.safetensors"), registry=registry)


@benchmark(minutes=30)
def exporting(*names: str, rounds: int = 5) -> Iterator[Row]:
    """Differences between models and their ONNX exports, and the speed of ONNX Runtime beside torch.

    All architectures and published weights of zoo's own, unless some are named. Published weights are
    compared on the test split, new models on random inputs. Rates are those of one thread, in batches of 1
    and 64 images; or of steps of 1 and 64 streams, each reading one token.
    """
    torch.set_num_threads(1)
    registry = Registry.discover()
    ours = [entry.spec.name for entry in registry.entries("architecture") if entry.plugin.ours]
    at_hand = [
        id_ for id_, spec in registry.weights.items() if "/" not in id_ and (ROOT / spec.file).is_file()
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in names or (*at_hand, *ours):
            yield from _exported(name, registry, Path(folder, f"{name}.onnx"), rounds)


def _exported(name: str, registry: Registry, file: Path, rounds: int) -> Iterator[Row]:
    published = name in registry.weights
    model = zoo.load(name, progress=False) if published else untrained(name, registry)
    try:
        done = model.export(file, synthetic=not published, progress=False)
    except ZooError as error:
        print(f"{name} cannot be exported: {error}")
        return
    first = file.read_bytes()
    file.unlink()
    model.export(file, synthetic=not published, progress=False)
    assert file.read_bytes() == first, "two exports differ"
    yield Row(name, "disagreements", done["disagreements"], "wrong", done["items"])
    yield Row(name, "largest difference of logits", done["largest_difference"], "difference", done["items"])
    exported, task = zoo.load(file, progress=False), make_task(registry, model.card.task)
    for size in (1, 64):
        with _pass(model, task, size) as ours, _pass(exported, task, size) as theirs:
            ways = {
                way: lambda do=do: seconds(lambda: [do() for _ in range(20)])
                for way, do in (("torch", ours), ("onnx", theirs))
            }
            times = in_turn(ways, rounds)
        yield ratio_of(name, f"beside torch, {size}", times["torch"], times["onnx"], "times as fast")


@contextlib.contextmanager
def _pass(model: Model, task: Task, size: int) -> Iterator[Callable[[], object]]:
    """Lend a function that predicts for a batch of images, or reads one token of each stream."""
    runner = model._runner  # pyright: ignore[reportPrivateUsage]
    if isinstance(task, CarriesState):
        tokens = np.full((1, size), 3, np.int64)
        with runner.reading() as read:
            _, state = read(tokens, None)
            yield lambda: read(tokens, state)
        return
    assert isinstance(task.processor, TakesItems)
    item = task.processor.item(model.card.arguments)
    images = np.random.default_rng(0).integers(0, 256, (size, *item.shape), np.uint8)
    yield lambda: runner.run(images)


@benchmark(minutes=10, needs="a package index")
def runtime(*, rounds: int = 9, full: str = "", runtime: str = "") -> Iterator[Row]:
    """Disk space and cold start of zoo-runtime, without torch, relative to the full zoo.

    Both are installed into new environments; `--full` and `--runtime` name environments that are there
    already.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        homes = {
            "full": _installed(Path(full or folder / "full"), ".[export]"),
            "runtime": _installed(Path(runtime or folder / "runtime"), "./runtime"),
        }
        for case, home in homes.items():
            size = sum(path.lstat().st_size for path in home.rglob("*") if not path.is_dir()) / 1e6
            yield Row(case, "disk space", size, "MB")
        pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "one.png")
        child([ZOO, "export", NAME, "--synthetic", "--quiet"], cwd=folder)
        env = {key: value for key, value in environment().items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        cases = {"full, weights": NAME, "full, .onnx": f"{NAME}.onnx", "runtime, .onnx": f"{NAME}.onnx"}
        answers: dict[str, object] = {}

        def predict(case: str, weights: str) -> float:
            zoo_of = homes[case.partition(",")[0]] / "bin" / "zoo"
            done = child([zoo_of, "predict", weights, "one.png", "--json", "--quiet"], cwd=folder, env=env)
            answers[case] = json.loads(done.out)
            return done.seconds

        ways = {case: lambda case=case, one=one: predict(case, one) for case, one in cases.items()}
        times = in_turn(ways, rounds)
        assert answers["full, .onnx"] == answers["runtime, .onnx"], "the answers differ"
    for case, taken in times.items():
        yield median_of(case, "cold start", taken, "s")
        yield ratio_of(case, "beside weights", taken, times["full, weights"], "times as long")


def _installed(folder: Path, what: str) -> Path:
    """Return an environment with a distribution of this repository, installed unless the folder exists."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        child([*pip, "install", "--quiet", what], cwd=ROOT)
    return folder
