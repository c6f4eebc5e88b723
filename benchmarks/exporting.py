"""Every architecture exported to ONNX, and ONNX Runtime against torch.

Published weights are verified on the test split where its data is at hand (`ZOO_DATA`), and new models on
random inputs. Rates are the best of several turns with one thread, in turn, in one process: images a second
in batches of 1 and 64; or steps a second of 1 and of 64 lanes, each step reading one token.

    python benchmarks/exporting.py [NAME ...]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zoo
from zoo import Model, Registry, ZooError
from zoo.files.cards import Card, DatasetCard
from zoo.interfaces import CarriesState, Task, make_task
from zoo.models.building import build_model, model_arguments
from zoo.models.module_runner import runner_of
from zoo.processors import TakesItems

TURNS, SECONDS = 5, 0.3


def untrained(name: str, registry: Registry) -> Model:
    """Return a new model of an architecture, for its task's usual dims."""
    entry = registry.architecture(name)
    task = registry.task(entry.spec.task)
    arguments = model_arguments(entry, task, task.dims, {})
    preprocess: dict[str, Any] = {"size": 32, "mean": [0.49, 0.48, 0.45], "std": [0.25, 0.24, 0.26]}
    preprocess |= {"classes": [f"class {number}" for number in range(10)]}
    if "vocab_size" in task.dims:
        letters = [chr(ord("A") + number) for number in range(task.dims["vocab_size"] - 2)]
        preprocess = {
            "tokens": "char",
            "lower": False,
            "vocabulary": ["<unk>", "<pad>", *letters],
            "specials": 2,
        }
    card = Card(
        architecture=entry.name,
        arguments=arguments,
        task=task.name,
        dataset=DatasetCard(name="none", options={}, fingerprint=""),
        preprocess=preprocess,
        training={},
        seed=0,
        progress={},
        metrics={},
        versions={},
    )
    module = build_model(entry, arguments, seed=0).eval()
    runner = runner_of(module, card, registry)
    return Model(runner, card, path=Path(f"{name}.safetensors"), registry=registry)


def rate(do: Callable[[], object]) -> float:
    """Return how often a second something can be done, in one turn."""
    start, count = time.perf_counter(), 0
    while (taken := time.perf_counter() - start) < SECONDS:
        do()
        count += 1
    return count / taken


def against(torch_does: Callable[[], object], onnx_does: Callable[[], object]) -> tuple[float, float]:
    """Return the rates of both, in turn."""
    for do in (torch_does, onnx_does):
        do()
    turns = [(rate(torch_does), rate(onnx_does)) for _ in range(TURNS)]
    return max(one for one, _ in turns), max(other for _, other in turns)


def rates(model: Model, exported: Model, task: Task, size: int) -> tuple[float, float]:
    """Return images, or steps, a second of torch and of ONNX Runtime."""
    ours, theirs = (each._runner for each in (model, exported))  # pyright: ignore[reportPrivateUsage]
    if isinstance(task, CarriesState):
        tokens = np.full((1, size), 3, np.int64)
        with ours.reading() as read, theirs.reading() as step:
            _, our_state = read(tokens, None)
            _, their_state = step(tokens, None)
            return against(lambda: read(tokens, our_state), lambda: step(tokens, their_state))
    assert isinstance(task.processor, TakesItems)
    item = task.processor.item(model.card.arguments)
    images = np.random.default_rng(0).integers(0, 256, (size, *item.shape), np.uint8)
    torchs, onnxs = against(lambda: ours.run(images), lambda: theirs.run(images))
    return torchs * size, onnxs * size


def measure(name: str, registry: Registry, folder: Path) -> None:
    """Export one model and print what was verified, and both rates."""
    published = [id_ for id_ in registry.weights if id_ == name]
    model = zoo.load(name, progress=False) if published else untrained(name, registry)
    file, start = folder / f"{name}.onnx", time.perf_counter()
    try:
        done = model.export(file, synthetic=not published, progress=False)
    except ZooError as error:
        print(f"{name:20} {error}" + (f" ({error.hint})" if error.hint else ""))
        return
    taken = time.perf_counter() - start
    equal = file.read_bytes()
    file.unlink()
    model.export(file, synthetic=not published, progress=False)
    assert file.read_bytes() == equal, "two exports differ"
    exported = zoo.load(file, progress=False)
    task = make_task(registry, model.card.task)
    parts = [
        f"{theirs:9,.0f} / {ours:7,.0f} = {theirs / ours:4.1f}"
        for ours, theirs in (rates(model, exported, task, size) for size in (1, 64))
    ]
    verified = f"{done['items']:,} {done['split'] or 'random'} {done['unit']}, {done['disagreements']} ties"
    difference = f"{done['largest_difference']:.0e}"
    print(f"{name:20} {taken:5.1f} s  {verified:36} {difference}  {parts[0]}   {parts[1]}", flush=True)


def main() -> None:
    """Measure the models that are named, or all architectures and published weights of zoo's own."""
    parser = argparse.ArgumentParser(description="Export every architecture.")
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    registry = Registry.discover()
    ours = [entry.spec.name for entry in registry.entries("architecture") if entry.plugin.ours]
    at_hand = [
        id_ for id_ in registry.weights if "/" not in id_ and Path(registry.weights[id_].file).is_file()
    ]
    print("model, export, verified on, difference of logits, ONNX Runtime / torch at 1 and at 64")
    with tempfile.TemporaryDirectory() as folder:
        for name in names or itertools.chain(at_hand, ours):
            measure(name, registry, Path(folder))


if __name__ == "__main__":
    main()
