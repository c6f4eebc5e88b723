"""Run directories with made-up metrics, without a training."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from zoo.files.cards import KEY, Card, DatasetCard
from zoo.files.container import StoredTensor, tensor_sha256, write_container
from zoo.files.run_files import WEIGHTS


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
        write_weights(run / name, dataset=dataset, seed=seed)
    return run


def write_weights(path: Path, *, dataset: str = "images/shapes", seed: float = 0) -> None:
    """Write an intact file with the card of a run's weights, and one tensor; each file has another."""
    tensors = [StoredTensor("weight", "U8", (len(path.name),), memoryview(path.name.encode()))]
    card = Card(
        architecture="convnet/mlp",
        arguments={"widths": [8], "num_classes": 8},
        task="classification",
        dataset=DatasetCard(name=dataset, options={}, fingerprint=""),
        preprocess={},
        training={},
        seed=int(seed),
        progress={"epochs": 2, "steps": 2},
        metrics={},
        versions={},
        sha256=tensor_sha256(tensors),
    )
    write_container(path, tensors, {KEY: msgspec.json.encode(card).decode()})
