"""Run directories with made-up metrics, without a training."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.registry.weights_files import WEIGHTS


def make(
    run: Path,
    *,
    values: list[float] | None = None,
    files: tuple[str, ...] = WEIGHTS,
    dataset: str = "images/shapes",
    **train: float,
) -> Path:
    """Write the files of a run with a val accuracy for each epoch; `seed` is no training option."""
    run.mkdir(parents=True)
    seed = train.pop("seed", 0)
    options = "".join(f"{name} = {value}\n" for name, value in {"epochs": 2, "lr": 0.1, **train}.items())
    (run / "config.toml").write_text(
        f'schema = 1\n[recipes.x]\narchitecture = "convnet/mlp"\ndataset = "{dataset}"\nseed = {seed}\n'
        f'[recipes.x.model]\nwidths = [8]\n[recipes.x.train]\naugment = ["flip"]\n{options}'
    )
    for number, value in enumerate([0.5, 0.6] if values is None else values, 1):
        row = {"epoch": number, "steps": number, "train": {"loss": 1.0, "accuracy": value}}
        row |= {"val": {"loss": 1 - value, "accuracy": value}, "clock": {"seconds": 1.5, "rate": 9.0}}
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        with (run / "steps.jsonl").open("a") as file:
            file.write(
                json.dumps({"epoch": number, "step": number, "loss": value, "lr": 0.1, "rate": 9.0}) + "\n"
            )
    for name in files:
        (run / name).write_bytes(b"0123456789")
    return run
