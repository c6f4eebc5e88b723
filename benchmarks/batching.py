"""Windows, sections and stateful lanes: one network, three ways to cut the text, the same number of epochs.

`windows` reads each character `bptt` times for one prediction; `sections` predicts at every position, but
forgets the text at each border; `stateful` carries the hidden state on. Each loss is measured twice: as the
model was trained, on at most `bptt` characters, and with the state carried along the whole validation split.

    python benchmarks/batching.py [--epochs 8] [--seconds 30]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo import Registry, TrainConfig
from zoo.data.opening import open_dataset
from zoo.interfaces import Dataset
from zoo.models import weights
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

RECIPES = ("nietzsche-windows", "nietzsche-sections", "nietzsche-stateful")


@torch.inference_mode()
def loss_as_trained(model: nn.Module, tokens: Tensor, config: TrainConfig) -> float:
    """Return nats per character of a text (N,) cut as in training, without a short last section."""
    text = config.groups["text"]
    if text.batching == "stateful":
        raise ValueError("a stateful model is trained with its state carried")
    size = text.bptt
    stride = size if text.batching == "sections" else 1
    inputs, targets = (part.unfold(0, size, stride) for part in (tokens[:-1], tokens[1:]))
    total = count = 0.0
    for start in range(0, len(inputs), 4096):
        here = slice(start, start + 4096)
        logits, _ = model(inputs[here].T.long())
        expected = targets[here].T.long()
        if text.batching == "windows":
            logits, expected = logits[-1:], expected[-1:]
        total += F.cross_entropy(logits.flatten(0, 1), expected.flatten(), reduction="sum").item()
        count += expected.numel()
    return total / count


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
        "batching", f"characters read, {options.epochs} epochs", "seconds", "loss, as trained",
        "loss, state carried", f"the same after {options.seconds:.0f} s",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in RECIPES:
        recipe = registry.recipe(name)
        recipe = replace(recipe, train=recipe.train | {"epochs": options.epochs})
        with tempfile.TemporaryDirectory() as folder:
            trained = zoo.train(recipe, run=Path(folder) / "run", progress=False, registry=registry)
            result = trained.result
            lines = (Path(result.run) / "metrics.jsonl").read_text().splitlines()
            model, card = weights.load(Path(result.weights), registry)
        config = registry.training_config(recipe)
        dataset = open_dataset(registry.dataset(recipe.dataset), recipe.data)
        carried = card.metrics["val"]["loss"]
        batching = config.groups["text"].batching
        stateful = batching == "stateful"
        trained = carried if stateful else loss_as_trained(model, dataset.split("val"), config)
        print(
            f"| `{batching}` | {read_characters(dataset, config) * options.epochs / 1e6:.1f} M "
            f"| {result.seconds:.0f} | {trained:.4f} | {carried:.4f} "
            f"| {_after([json.loads(line) for line in lines], options.seconds)} |",
            flush=True,
        )


def _after(rows: list[dict[str, Any]], seconds: float) -> str:
    """Return the loss, state carried, at the end of the last epoch that ended within `seconds`."""
    passed, text = 0.0, "no epoch done"
    for row in rows:
        passed += row["clock"]["seconds"]
        if passed <= seconds:
            text = f"{row['val']['loss']:.4f} ({row['epoch']} epochs)"
    return text


if __name__ == "__main__":
    main()
