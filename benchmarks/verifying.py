"""How much rounding changes published metrics, and whether `zoo verify` finds metrics that were edited.

    python benchmarks/verifying.py kernels [cifar10-mlp nietzsche-rnn]
    python benchmarks/verifying.py edits [--number 100] [--seed 0]

`kernels` measures published weights with two threads, and with kernels for processors without AVX-512 and
without AVX. It prints the largest relative difference from the usual result for each metric and, for metrics
that count items, how many items differ.

`edits` changes one metric in the card of weights: by one item, or by 0.001 for a metric that does not count
items. It prints how many edits were found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

import zoo
from zoo.files.cards import read_weights
from zoo.models import weights
from zoo.registry.registry import default_registry
from zoo.testing.finding_weights import find_weights
from zoo.tools.compare.tolerance import is_count

# Weights that are measured in about a second
FAST = ("cifar10-mlp", "scenes-convnet-bn", "shapes-camnet", "nietzsche-rnn", "stdlib-lstm")
LEAST = 0.001
KERNELS = {
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}
Measured = Mapping[tuple[str, str, str], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure rounding, or edit published metrics.")
    commands = parser.add_subparsers(dest="command", required=True)
    kernels_ = commands.add_parser("kernels")
    kernels_.add_argument("names", nargs="*", default=[*FAST], help="Ids of weights.")
    edits_ = commands.add_parser("edits")
    edits_.add_argument("--number", type=int, default=100, help="Number of edits.")
    edits_.add_argument("--seed", type=int, default=0, help="Seed that chooses what is edited.")
    options = parser.parse_args()
    if options.command == "kernels":
        kernels(options.names)
    else:
        edits(options.number, options.seed)


def kernels(names: Sequence[str]) -> None:
    """Print how far results with other kernels are from the usual ones."""
    usual = measured(names, {"OMP_NUM_THREADS": "1"})
    for kernel, variables in KERNELS.items():
        other, largest, items = (
            measured(names, {"OMP_NUM_THREADS": "1", **variables}),
            defaultdict[str, float](float),
            0,
        )
        for key, (value, count) in usual.items():
            difference = abs(other[key][0] - value)
            largest[key[2]] = max(largest[key[2]], difference / abs(value))
            items += round(difference * count) if is_count(value, count) else 0
        listed = ", ".join(f"{metric} {most:.1e}" for metric, most in largest.items())
        print(f"{kernel}: {items} items; relative differences: {listed}", flush=True)


def measured(names: Sequence[str], variables: Mapping[str, str]) -> Measured:
    """Return the metrics of weights and their number of items, measured in a process with these variables."""
    code = """
import json, sys, zoo
rows = []
for name in sys.argv[1:]:
    model = zoo.load(name, device="cpu", progress=False)
    for split in model.card.metrics:
        result = model.evaluate(split, progress=False)
        rows += [[name, split, metric, value, result["count"]] for metric, value in result["metrics"].items()]
print(json.dumps(rows))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    rows = json.loads(done.stdout)
    return {(name, split, metric): (value, count) for name, split, metric, value, count in rows}


def edits(number: int, seed: int) -> None:
    """Print how many edited metrics are found, each in weights whose other metrics are as published."""
    draw, registry, found = random.Random(seed), default_registry(), 0
    with tempfile.TemporaryDirectory() as folder:
        for edit in range(number):
            name = draw.choice(FAST)
            file = find_weights(registry, name)
            module, card = weights.load(file, registry)
            half = any(tensor.dtype == "BF16" for tensor in read_weights(file)[1].tensors.values())
            split = draw.choice([*card.metrics])
            metric = draw.choice([*card.metrics[split]])
            value = card.metrics[split][metric]
            data = zoo.open_dataset(card.dataset.name, progress=False, **card.dataset.options)
            least = 1 / len(data.split(split)) if metric == "accuracy" else LEAST  # type: ignore[arg-type]
            edited = value + draw.choice((-least, least))
            metrics = {**card.metrics, split: {**card.metrics[split], metric: edited}}
            path = Path(folder) / f"{edit}.safetensors"
            weights.save(path, module, structs.replace(card, metrics=metrics, by_seed={}), half=half)
            wrong = [row for row in zoo.verify(path, progress=False) if not row["ok"]]
            hit = [(row["split"], row["metric"]) for row in wrong] == [(split, metric)]
            found += hit
            print(f"{name} {split} {metric} {value} -> {edited}: {'found' if hit else 'MISSED'}", flush=True)
            path.unlink()
    print(f"{found} of {number} edits found, and nothing else")


if __name__ == "__main__":
    main()
