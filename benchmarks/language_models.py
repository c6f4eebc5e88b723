"""A Transformer and two LSTMs of equal size, each trained for equally long on tiny Shakespeare, as a table.

    pip install ./examples/zoo-nanogpt
    python benchmarks/language_models.py [--seconds 480] [--threads 2] [--runs FOLDER] [--short]

Two epochs on a tenth of the text measure how long an epoch takes. The number of epochs is the largest that
fits into the time, so that each one-cycle schedule ends; the evaluations after the epochs do not count. The
loss is measured on the test split, with the weights of the best epoch. Its interval does not cover how much
the loss varies from seed to seed. Sampling is timed one text at a time, for each model in turn. Run nothing
beside this; `--short` trains on a tenth of the text, to try the command.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import zoo
from zoo import Recipe

DATA = "text/tinyshakespeare"
# As in the recipe tinyshakespeare-awd-lstm, apart from the size
SIZE = {"embedding_dim": 64, "hidden_size": 247, "num_layers": 2}
LSTM = {
    "batch_size": 64,
    "optimizer": "adam",
    "lr": 5e-3,
    "weight_decay": 5e-6,
    "schedule": "one-cycle",
    "clip_grad_norm": 1.0,
    "bptt": 16,
    "bptt_jitter": True,
}
LOCKED = {"dropout_input": 0.0, "dropout_hidden": 0.3, "dropout_output": 0.2, "weight_drop": 0.1}
RECIPES = {
    "nanogpt/gpt": None,  # its own recipe
    "charrnn/lstm": Recipe(
        architecture="charrnn/lstm", dataset=DATA, model={**SIZE, "dropout": 0.3}, train=LSTM
    ),
    "charrnn/awd-lstm": Recipe(
        architecture="charrnn/awd-lstm", dataset=DATA, model={**SIZE, **LOCKED}, train=LSTM
    ),
}
# A tenth of the training text; the whole splits are 80, 10 and 10
SHORT, PARTS = {"splits": [8, 1, 91]}, 10
CHARACTERS, ROUNDS = 500, 5


def main() -> None:
    parser = argparse.ArgumentParser(description="Train language models of equal size equally long.")
    parser.add_argument("--seconds", type=float, default=480, help="Seconds to train each model for.")
    parser.add_argument("--threads", type=int, default=2, help="Number of threads.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed.")
    parser.add_argument("--runs", type=Path, help="Folder to keep the runs in.")
    parser.add_argument("--short", action="store_true", help="Train on a tenth of the text.")
    options = parser.parse_args()
    registry = zoo.Registry.discover()
    with kept(options.runs) as folder:
        runs: dict[str, zoo.Run] = {}
        for name, recipe in RECIPES.items():
            recipe = replace(recipe or registry.recipe("nanogpt/tinyshakespeare-gpt"), seed=options.seed)
            needed = short_epoch(recipe, options.threads) * (1 if options.short else PARTS)
            recipe = replace(recipe, train={**recipe.train, "epochs": max(1, int(options.seconds / needed))})
            recipe = replace(recipe, data=SHORT if options.short else {})
            run = folder / name.replace("/", "-")
            runs[name] = zoo.train(recipe, run=run, threads=options.threads, progress=False)
            print(f"{name}: {runs[name].result.seconds:.0f} s", flush=True)
        heads = (
            "network",
            "parameters",
            "seconds",
            "epochs",
            "test loss, nats per character",
            "bits per character",
            "sampling",
        )
        print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        rates = sampling(runs, options.threads)
        for name, run in runs.items():
            print(row(name, run, rates[name]), flush=True)


@contextlib.contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    """Yield the folder of the runs: a temporary one unless the user names one."""
    if folder is not None:
        yield folder
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def short_epoch(recipe: Recipe, threads: int) -> float:
    """Return the seconds that an epoch on a tenth of the text takes."""
    short = replace(recipe, data=SHORT, train={**recipe.train, "epochs": 2})
    with tempfile.TemporaryDirectory() as folder:
        run = zoo.train(short, run=Path(folder) / "run", threads=threads, progress=False)
        return min(row["clock"]["seconds"] for row in run.history)


def sampling(runs: dict[str, zoo.Run], threads: int) -> dict[str, float]:
    """Return the characters per second that each model samples."""
    torch.set_num_threads(threads)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            assert len(str(run.model.sample(max_new_tokens=CHARACTERS, progress=False))) == CHARACTERS
            if round_:  # the first one warms up
                rates[name].append(CHARACTERS / (time.perf_counter() - start))
    return {name: statistics.median(measured) for name, measured in rates.items()}


def row(name: str, run: zoo.Run, rate: float) -> str:
    """Return the row of a model in the table."""
    found = run.model.evaluate("test", progress=False)
    (low, high), metrics = found["intervals"]["loss"], found["metrics"]
    parameters = sum(parameter.numel() for parameter in run.model.module.parameters())
    return (
        f"| `{name}` | {parameters:,} | {run.result.seconds:.0f} | {run.result.epochs} "
        f"| {metrics['loss']:.4f} ({low:.4f} to {high:.4f}) | {metrics['bits_per_char']:.3f} "
        f"| {rate:,.0f} characters/s |"
    )


if __name__ == "__main__":
    main()
