"""Train published weights again, each by its recipe, and write the files and their entries in registry.toml.

    python -m benchmarks.weights cifar10-resnet20 nietzsche-gru [--runs runs/weights]
    python -m benchmarks.weights --seeds 3 nietzsche-gru
    python -m benchmarks.weights --again [nietzsche-gru]
    python -m benchmarks.weights --measure [nietzsche-gru]

A name is an id of weights, or a recipe that has none yet. A training that was interrupted goes on, and one
that is finished is not done again. Each is done on one thread, so the tensors are equal, bit for bit, on
machines whose PyTorch computes alike.

Published are the last weights of seed 0, whatever the others reach. Matrices are stored as bf16 if that
changes its metrics by at most 0.0005 nats and 0.05 points of a percentage. What its card and registry.toml
say is measured on the stored file.

With `--seeds`, weights that are published stay as they are, and what further seeds reach is added to their
card and entry; seeds that are there already are not trained again.

With `--again`, weights, drawn at random if none are named, are trained once more in a folder of their own,
and their tensors compared with the published ones. What is written is how long that took, where their entry
does not say.

With `--measure`, published weights are measured again, and their cards get the confidence intervals.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from msgspec import structs
from torch import nn

import zoo
from zoo.files.cards import Card, read_weights
from zoo.files.hashes import sha256_of
from zoo.models import weights
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import default_registry
from zoo.testing.finding_weights import find_weights

ROOT = Path(__file__).parents[1]
# The most by which a metric may change to store bf16: nats, or a fraction of a percentage
TOLERANCE = 0.0005
# The most bytes of a file that is part of the wheel
IN_THE_WHEEL = 2_000_000
Metrics = dict[str, dict[str, float]]
Intervals = dict[str, dict[str, tuple[float, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.weights", description="Train and store published weights."
    )
    parser.add_argument("names", nargs="*", help="Ids of weights, or recipes; by default all ids.")
    parser.add_argument("--seeds", type=int, help="Number of seeds to measure.")
    parser.add_argument("--runs", type=Path, default=Path("runs/weights"), help="Folder of the runs.")
    parser.add_argument("--again", action="store_true", help="Compare only.")
    parser.add_argument("--measure", action="store_true", help="Measure confidence intervals only.")
    options = parser.parse_args()
    known = default_registry().weights
    if options.again:
        for name in options.names or [random.choice([*known])]:
            equal, seconds = equal_again(name)
            print(f"{name}: tensors {'equal, bit for bit' if equal else 'DIFFER'}, {seconds} s", flush=True)
            if equal and not known[name].seconds:
                file = find_weights(default_registry(), name).relative_to(ROOT)
                write_entry(name, replace(known[name], file=str(file), seconds=seconds))
        return
    if options.measure:
        for name in options.names or known:
            write_entry(name, with_intervals(name))
        return
    for name in options.names or known:
        if not options.seeds or name not in known:
            recipe = known[name].recipe if name in known else name
            write_entry(name, publish(name, recipe, trained(recipe, 0, options.runs)))
        if options.seeds:
            write_entry(name, with_seeds(name, range(options.seeds), options.runs))


def trained(recipe: str, seed: int, folder: Path) -> Path:
    """Return the weights of a recipe trained with a seed, after training what is left.

    The processor time is kept in RUN.seconds, for a training that is killed as well.
    """
    run = folder / f"{recipe}-{seed}"
    if not (run / "model.safetensors").exists():
        with timed(run.with_suffix(".seconds")):
            zoo.train(recipe, seed=seed, threads=1, run=run, resume=True)
    return run / "model.safetensors"


@contextlib.contextmanager
def timed(folder: Path) -> Generator[None]:
    """Write the processor time of the body to a file of this process, again and again."""
    folder.mkdir(parents=True, exist_ok=True)
    file, start, done = folder / f"{time.time_ns()}", time.process_time(), threading.Event()

    def write() -> None:
        ended = False
        while not ended:
            ended = done.wait(10)
            file.write_text(f"{time.process_time() - start:.1f}")

    clock = threading.Thread(target=write, daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()


def seconds_of(run: Path) -> float:
    """Return the processor time of a training."""
    return round(sum(float(file.read_text()) for file in run.with_suffix(".seconds").iterdir()), 1)


def equal_again(name: str) -> tuple[bool, float]:
    """Train published weights once more; return whether every tensor has the published bits, and the time."""
    registry = default_registry()
    card, stored = read_weights(find_weights(registry, name))
    half = any(tensor.dtype == "BF16" for tensor in stored.tensors.values())
    with tempfile.TemporaryDirectory() as folder:
        run = trained(registry.weights[name].recipe, card.seed, Path(folder))
        module, fresh = weights.load(run, registry)
        written = weights.save(Path(folder) / "again.safetensors", module, fresh, half=half)
        return written.sha256 == card.sha256, seconds_of(run.parent)


def publish(name: str, recipe: str, run: Path) -> WeightsSpec:
    """Store the weights of a training, and return their entry in registry.toml."""
    registry = default_registry()
    module, card = weights.load(run, registry)
    primary_metric = registry.task(card.task).primary_metric
    whole, of_whole = measured(run)
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "half.safetensors"
        weights.save(stored, module, card, half=True)
        rounded, of_rounded = measured(stored)
    half = all(
        abs(rounded[split][metric] - whole[split][metric]) <= TOLERANCE
        for split, metric in itertools.product(whole, {"loss", primary_metric})
    )
    metrics, intervals = (rounded, of_rounded) if half else (whole, of_whole)
    card = structs.replace(card, metrics=metrics, intervals=intervals, by_seed={})
    path = store(name, module, card, half=half)
    return WeightsSpec(
        recipe=recipe,
        file=str(path.relative_to(ROOT)),
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        params=sum(parameter.numel() for parameter in module.parameters()),
        metrics=metrics,
        seconds=seconds_of(run.parent),
        license="MIT",
    )


def with_seeds(name: str, seeds: Iterable[int], folder: Path) -> WeightsSpec:
    """Measure what further seeds reach, store that in the card, and return the entry in registry.toml."""
    registry = default_registry()
    spec, file = registry.weights[name], find_weights(registry, name)
    module, card = weights.load(file, registry)
    by_seed = dict(spec.by_seed)
    for seed in seeds:
        if str(seed) not in by_seed:
            reached = measured(trained(spec.recipe, seed, folder))[0] if seed else card.metrics
            split = "test" if "test" in reached else "val"
            by_seed[str(seed)] = reached[split][registry.task(card.task).primary_metric]
    half = any(tensor.dtype == "BF16" for tensor in read_weights(file)[1].tensors.values())
    path = store(name, module, structs.replace(card, by_seed=by_seed), half=half)
    times = [seconds_of(run) for seed in seeds if (run := folder / f"{spec.recipe}-{seed}").exists()]
    return replace(
        spec,
        file=str(path.relative_to(ROOT)),
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        by_seed=by_seed,
        seconds=spec.seconds or (statistics.median(times) if times else 0.0),
    )


def with_intervals(name: str) -> WeightsSpec:
    """Store confidence intervals in the card of published weights, and return the entry in registry.toml.

    A metric that has no published value gets one. Raises SystemExit if the others are not the published ones.
    """
    registry = default_registry()
    spec, stored = registry.weights[name], find_weights(registry, name)
    module, card = weights.load(stored, registry)
    metrics, intervals = measured(stored)
    for split, published in card.metrics.items():
        if any(
            not math.isclose(metrics[split][key], value, rel_tol=1e-6) for key, value in published.items()
        ):
            sys.exit(f"{name}: {split} is {metrics[split]}, but published as {published}")
        metrics[split] |= published
    half = any(tensor.dtype == "BF16" for tensor in read_weights(stored)[1].tensors.values())
    path = store(name, module, structs.replace(card, metrics=metrics, intervals=intervals), half=half)
    file, size = str(path.relative_to(ROOT)), path.stat().st_size
    return replace(spec, file=file, sha256=sha256_of(path), bytes=size, metrics=metrics)


def store(name: str, module: nn.Module, card: Card, *, half: bool) -> Path:
    """Write published weights, and return their file: small enough for the wheel, or with the large ones."""
    path = ROOT / "weights" / "small" / f"{name}.safetensors"
    weights.save(path, module, card, half=half)
    if path.stat().st_size <= IN_THE_WHEEL:
        return path
    large = ROOT / "weights" / "large"
    large.mkdir(exist_ok=True)
    return path.rename(large / path.name)


def measured(path: Path) -> tuple[Metrics, Intervals]:
    """Return the metrics and intervals of a file on the val and the test split, those that have items."""
    model = zoo.load(path, device="cpu", progress=False)
    data = zoo.open_dataset(model.card.dataset.name, progress=False, **model.card.dataset.options)
    splits: list[Literal["val", "test"]] = [split for split in ("val", "test") if len(data.split(split))]
    found = {split: model.evaluate(split=split, progress=False) for split in splits}
    return (
        {split: result["metrics"] for split, result in found.items()},
        {split: result["intervals"] for split, result in found.items()},
    )


def write_entry(name: str, spec: WeightsSpec) -> None:
    """Write the table of some weights into registry.toml, in its place if it has one, else at the end."""
    path = ROOT / "registry.toml"
    text = path.read_text(encoding="utf-8")
    head = f"[weights.{name}]\n"
    said = {"recipe": spec.recipe, "file": spec.file, **dataclasses.asdict(spec)}
    table = head + "".join(f"{key} = {inline(value)}\n" for key, value in said.items() if value)
    before, found, after = text.partition(head)
    rest = re.sub(r"\A(?:[^\[\n].*\n)*", "", after)
    joined = before + table + rest if found else f"{text.rstrip()}\n\n{table}"
    path.write_text(joined, encoding="utf-8")
    print(table, flush=True)


def inline(value: object) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return "{ " + ", ".join(f"{key} = {inline(inner)}" for key, inner in items) + " }"
    return json.dumps(value)


if __name__ == "__main__":
    main()
