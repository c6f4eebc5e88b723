"""Windows, sections and stateful lanes: one network, three ways to cut the text, the same number of epochs.

`windows` reads each character `bptt` times for one prediction; `sections` predicts at every position, but
forgets the text at each border; `stateful` carries the hidden state on. Each loss is measured three times: as
the model was trained, with exactly `bptt` characters for each prediction, and with the state carried along
the whole validation split. The first row has the windows of 3 characters with which the lesson begins.

    python benchmarks/batching.py [--epochs 8] [--seconds 30]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo
from zoo import Registry, TrainConfig
from zoo.data.opening import open_dataset
from zoo.interfaces import Dataset
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

# Recipes, and the changes to their training options
EXPERIMENTS = {
    "nietzsche-windows": ({"bptt": 3}, {}),
    "nietzsche-sections": ({},),
    "nietzsche-stateful": ({},),
}


def read_characters(dataset: Dataset, config: TrainConfig) -> int:
    """Return how many characters the network reads in an epoch."""
    batches = LanguageModeling(LANGUAGE_MODELING).train_batches(dataset, config, seed=0, epoch=0)
    return sum(batch.inputs.numel() for batch in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare three ways to cut a text.")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0, help="Also give the loss after this time.")
    options = parser.parse_args()
    registry = Registry.discover()
    heads = (
        "batching", "bptt", f"characters read, {options.epochs} epochs", "seconds", "loss, as trained",
        "exactly bptt characters", "loss, state carried over", f"the same after {options.seconds:.0f} s",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, changes in ((name, each) for name, several in EXPERIMENTS.items() for each in several):
        recipe = registry.recipe(name)
        recipe = replace(recipe, train=recipe.train | {"epochs": options.epochs} | changes)
        with tempfile.TemporaryDirectory() as folder:
            run = zoo.train(recipe, run=Path(folder) / "run", progress=False, registry=registry)
            val, seconds, history = run.model.card.metrics["val"], run.result.seconds, run.history
            config = registry.training_config(recipe)
            text = config.groups["text"]
            exact = run.model.evaluate("val", context=text.bptt, progress=False)["metrics"]["loss"]
        dataset = open_dataset(registry.dataset(recipe.dataset), recipe.data)
        print(
            f"| `{text.batching}` | {text.bptt} "
            f"| {read_characters(dataset, config) * options.epochs / 1e6:.1f} M | {seconds:.0f} "
            f"| {val['loss']:.4f} | {exact:.4f} | {_carried(val):.4f} | {_after(history, options.seconds)} |",
            flush=True,
        )


def _carried(metrics: Mapping[str, float]) -> float:
    return metrics.get("carried_loss", metrics["loss"])


def _after(rows: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """Return the loss, state carried, at the end of the last epoch that ended within `seconds`."""
    passed, text = 0.0, "no epoch done"
    for row in rows:
        passed += row["clock"]["seconds"]
        if passed <= seconds:
            text = f"{_carried(row['val']):.4f} ({row['epoch']} epochs)"
    return text


if __name__ == "__main__":
    main()
