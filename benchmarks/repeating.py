"""Whether results repeat: metrics with other kernels, edited metrics, and runs that were stopped."""

from __future__ import annotations

import json
import random
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import structs

import zoo
from benchmarks.measuring import benchmark, child, environment, python
from benchmarks.rows import Row
from zoo import Recipe, Registry
from zoo.console.reports import Progress
from zoo.errors import Interrupted
from zoo.files.cards import read_card, read_weights
from zoo.models import weights
from zoo.registry.registry import default_registry
from zoo.runs.lifecycle import train
from zoo.runs.resolving import resolve_recipe
from zoo.testing.finding_weights import find_weights
from zoo.tools.compare.tolerance import is_count

# Weights that are measured in about a second
QUICK = ("cifar10-mlp", "scenes-convnet-bn", "shapes-camnet", "nietzsche-rnn", "stdlib-lstm")
SSE4 = {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
KERNELS = {
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", **SSE4},
}
MEASURE = """
import json, zoo
rows = []
for name in sys.argv[1:]:
    model = zoo.load(name, device="cpu", progress=False)
    for split in model.card.metrics:
        result = model.evaluate(split, progress=False)
        rows += [[name, split, metric, value, result["count"]] for metric, value in result["metrics"].items()]
print(json.dumps(rows))
"""
TOYS = {
    "lstm": Recipe(
        architecture="lstm",
        dataset="files",
        data={"paths": str(Path(__file__))},
        model={"hidden_size": 32, "num_layers": 2, "dropout": 0.5},
        train={"epochs": 2, "bptt": 8, "bptt_jitter": True, "batch_size": 16},
    ),
    "resnet-lite": Recipe(
        architecture="resnet-lite",
        dataset="shapes",
        data={"train_size": 640, "val_size": 64, "test_size": 64},
        model={"widths": [4, 8, 16], "dropout": 0.3},
        train={"epochs": 2, "batch_size": 32, "ema_decay": 0.9},
    ),
}


@benchmark(minutes=3, needs="CIFAR-10, Nietzsche")
def kernels(*names: str) -> Iterator[Row]:
    """Changes of published metrics with two threads, and with kernels without AVX-512 and without AVX."""

    def measured(**variables: str) -> dict[tuple[str, str, str], tuple[float, int]]:
        done = child(
            python(MEASURE, *(names or QUICK)), env=environment(**{"OMP_NUM_THREADS": "1", **variables})
        )
        return {
            (name, split, metric): (value, count)
            for name, split, metric, value, count in json.loads(done.out)
        }

    usual = measured()
    for kernel, variables in KERNELS.items():
        other, largest, items = measured(**variables), defaultdict[str, float](float), 0
        for key, (value, count) in usual.items():
            difference = abs(other[key][0] - value)
            largest[key[2]] = max(largest[key[2]], difference / abs(value))
            items += round(difference * count) if is_count(value, count) else 0
        yield Row(kernel, "items that differ", items, "wrong", len(usual))
        for metric, most in largest.items():
            yield Row(kernel, f"largest relative difference of {metric}", most, "difference", len(usual))


@benchmark(minutes=5, needs="CIFAR-10, Nietzsche")
def edits(*, number: int = 100, seed: int = 0) -> Iterator[Row]:
    """Metrics in cards, edited by one item or by 0.001, that `zoo verify` reports, and no others."""
    draw, registry, found = random.Random(seed), default_registry(), 0
    with tempfile.TemporaryDirectory() as folder:
        for edit in range(number):
            file = find_weights(registry, draw.choice(QUICK))
            module, card = weights.load(file, registry)
            half = any(tensor.dtype == "BF16" for tensor in read_weights(file)[1].tensors.values())
            split = draw.choice([*card.metrics])
            metric = draw.choice([*card.metrics[split]])
            data = zoo.open_dataset(card.dataset.name, progress=False, **card.dataset.options)
            least = 1 / len(data.split(split)) if metric == "accuracy" else 0.001  # type: ignore[arg-type]
            value = card.metrics[split][metric] + draw.choice((-least, least))
            metrics = {**card.metrics, split: {**card.metrics[split], metric: value}}
            path = Path(folder) / f"{edit}.safetensors"
            weights.save(path, module, structs.replace(card, metrics=metrics, by_seed={}), half=half)
            wrong = [row for row in zoo.verify(path, progress=False) if not row["ok"]]
            found += [(row["split"], row["metric"]) for row in wrong] == [(split, metric)]
            path.unlink()
    yield Row("edited metrics", "found", found, "right", number)


@benchmark(minutes=5)
def resume(*, stops: int = 5) -> Iterator[Row]:
    """Runs that were stopped at random steps and resumed, and whose final weights are bit-identical.

    An lstm and a resnet-lite, in fp32 and bf16, with three optimizers.
    """
    registry, draw, total = Registry.discover(), random.Random(0), 0
    for name, base in TOYS.items():
        for precision, optimizer in (("fp32", "adamw"), ("bf16", "adam"), ("fp32", "sgd")):
            changed = {**base.train, "precision": precision, "optimizer": optimizer, "lr": 0.01}
            recipe = replace(base, train=changed)
            with tempfile.TemporaryDirectory() as folder:
                whole = zoo.train(recipe, run=Path(folder, "whole"), progress=False, registry=registry)
                chosen = draw.sample(range(1, whole.result.steps), stops)
                resumed = [_resumed(recipe, registry, Path(folder, str(step)), step) for step in chosen]
                equal = resumed.count(read_card(Path(folder, "whole", "model.safetensors")).sha256)
            yield Row(f"{name}, {precision}, {optimizer}", "bit-identical", equal, "right", stops)
            total += equal
    yield Row("all runs", "bit-identical", total, "right", 6 * stops)


def _resumed(recipe: Recipe, registry: Registry, folder: Path, step: int) -> str:
    """Stop a run by SIGINT after a step, resume it, and return the sha256 of its final weights."""
    done = 0

    def report(progress: Progress) -> None:
        nonlocal done
        done += progress.is_step
        if progress.is_step and done == step:
            signal.raise_signal(signal.SIGINT)

    try:
        train(resolve_recipe(recipe, registry), registry, directory=folder, report=report)
    except Interrupted:
        train(resolve_recipe(recipe, registry, resume=True), registry, directory=folder, resume=True)
        return read_card(folder / "model.safetensors").sha256
    raise AssertionError(f"the run was not stopped at step {step}")
