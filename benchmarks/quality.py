"""The results of recipes over several seeds, as a table.

    python benchmarks/quality.py [nietzsche-lstm scenes-convnet-bn] [--seeds 3] [--keep FOLDER]

Recipes are those of registry.toml. The result is the primary metric after the last epoch, with its standard
deviation over the seeds.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import zoo
from zoo import Recipe, Registry
from zoo.models import weights
from zoo.runs.result import Result


def main() -> None:
    parser = argparse.ArgumentParser(description="Train recipes over several seeds.")
    parser.add_argument("recipes", nargs="*", default=["nietzsche-lstm", "cifar10-resnet-lite"])
    parser.add_argument("--seeds", type=int, default=3, help="Number of seeds, from 0.")
    parser.add_argument("--keep", type=Path, help="Copy the weights of seed 0 to FOLDER/RECIPE.safetensors.")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    registry = Registry.discover()
    heads = ("recipe", "parameters", "epochs", "result", "by seed", "seconds per seed")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in options.recipes:
        recipe = registry.recipe(name)
        keep = options.keep and options.keep / f"{name}.safetensors"
        runs = [
            run(replace(recipe, seed=seed), registry, None if seed else keep) for seed in range(options.seeds)
        ]
        print(row(name, recipe, registry, runs), flush=True)


def run(recipe: Recipe, registry: Registry, keep: Path | None) -> tuple[Result, int]:
    """Return the result of a run, and the number of parameters."""
    with tempfile.TemporaryDirectory() as folder:
        trained = zoo.train(recipe, run=Path(folder) / "run", progress=False, registry=registry)
        result = trained.result
        model, _ = weights.load(Path(result.weights), registry)
        if keep is not None:
            shutil.copyfile(result.weights, keep)
    return result, sum(parameter.numel() for parameter in model.parameters())


def row(name: str, recipe: Recipe, registry: Registry, runs: list[tuple[Result, int]]) -> str:
    """Return the mean and the standard deviation of the last epoch's metric as a row of the table."""
    primary_metric = registry.task_of(recipe).primary_metric
    first, parameters = runs[0]
    (split,) = first.metrics
    figures = [result.metrics[split][primary_metric] for result, _ in runs]
    spread = f" ± {statistics.stdev(figures):.4f}" if len(figures) > 1 else ""
    seconds = statistics.mean(result.seconds for result, _ in runs)
    return (
        f"| `{name}` | {parameters:,} | {first.epochs} | {split} {primary_metric} "
        f"{statistics.mean(figures):.4f}{spread} | {', '.join(f'{figure:.4f}' for figure in figures)} "
        f"| {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
