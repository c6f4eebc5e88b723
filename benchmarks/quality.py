"""What recipes of registry.toml reach on real data, over several seeds.

python benchmarks/quality.py [nietzsche-lstm cifar10-resnet-lite] [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from zoo import Catalog, Experiment, Registry
from zoo.tasks import make_task
from zoo.training import train


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", default=["nietzsche-lstm", "cifar10-resnet-lite"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    registry, catalog = Registry.discover(), Catalog.load()
    for name in options.recipes:
        experiment = Experiment.of(catalog.recipe(name))
        headline = make_task(registry.architecture(experiment.architecture).spec.task).headline
        figures: list[float] = []
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                result = train(replace(experiment, seed=seed), registry, directory=run)
            ((split, metrics),) = result.metrics.items()
            figures.append(metrics[headline])
            told = (
                f"{split} {headline} {metrics[headline]:.4f}, {result.epochs} epochs, {result.seconds:.0f} s"
            )
            print(f"{name} seed {seed}: {told}", flush=True)
        spread = f" +- {statistics.stdev(figures):.4f}" if len(figures) > 1 else ""
        print(
            f"{name}: mean {headline} {statistics.mean(figures):.4f}{spread} over {len(figures)} seeds",
            flush=True,
        )


if __name__ == "__main__":
    main()
