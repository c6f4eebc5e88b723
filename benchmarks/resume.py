"""Runs of two epochs stopped at random steps and resumed: are the final weights equal, bit for bit?

    python benchmarks/resume.py [--stops 5]

An lstm and a resnet-lite, in fp32 and bf16, with three optimizers.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import zoo
from zoo import Recipe, Registry
from zoo.console.reports import Progress
from zoo.errors import Interrupted
from zoo.files.cards import read_card
from zoo.runs.lifecycle import train
from zoo.runs.resolving import resolve_recipe

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


def final_sha256(folder: Path) -> str:
    """Return the sha256 of the final weights of a run."""
    return read_card(folder / "model.safetensors").sha256


def stopped_and_resumed(recipe: Recipe, registry: Registry, folder: Path, step: int) -> str:
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
        return final_sha256(folder)
    raise AssertionError(f"the run was not stopped at step {step}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Stop and resume runs at random steps.")
    parser.add_argument("--stops", type=int, default=5, help="Number of steps to stop each run at.")
    stops = parser.parse_args().stops
    registry = Registry.discover()
    draw = random.Random(0)
    for name, base in TOYS.items():
        for precision, optimizer in (("fp32", "adamw"), ("bf16", "adam"), ("fp32", "sgd")):
            changed = {**base.train, "precision": precision, "optimizer": optimizer, "lr": 0.01}
            recipe = replace(base, train=changed)
            with tempfile.TemporaryDirectory() as folder:
                whole = zoo.train(recipe, run=Path(folder) / "whole", progress=False, registry=registry)
                steps = whole.result.steps
                expected = final_sha256(Path(folder) / "whole")
                chosen = sorted(draw.sample(range(1, steps), stops))
                equal = [
                    stopped_and_resumed(recipe, registry, Path(folder) / str(step), step) == expected
                    for step in chosen
                ]
            case = f"{name} {precision} {optimizer}: stopped at steps {chosen} of {steps}"
            print(f"{case}: {sum(equal)} of {stops} equal", flush=True)


if __name__ == "__main__":
    main()
