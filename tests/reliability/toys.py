"""Runs that take a second and use every source of randomness, on data made here."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.files.container import read_container
from zoo.training.checkpoint import KEY

TOYS = {
    "rnn": [
        *("rnn", "files", "--data", "paths=text.txt", "--model", "hidden_size=24", "--model", "dropout=0.4"),
        *("--batch-size", "8", "--bptt", "12", "--bptt-jitter"),
        *("--optimizer", "sgd", "--clip-grad-norm", "0.5", "--lr", "0.1"),
    ],
    "lstm": [
        *("lstm", "files", "--data", "paths=text.txt", "--model", "hidden_size=24", "--model", "dropout=0.4"),
        *("--model", "num_layers=2", "--batch-size", "8", "--bptt", "12"),
        *("--bptt-jitter", "--optimizer", "adam", "--nonmono", "1"),
    ],
    "resnet-lite": [
        *("resnet-lite", "folder", "--data", "root=pictures", "--data", "size=16"),
        *("--model", "widths=[4, 8]", "--model", "dropout=0.3", "--batch-size", "8"),
        *("--augment", "crop,flip", "--ema-decay", "0.9", "--label-smoothing", "0.1"),
    ],
}
"""Arguments of `zoo train`. All have dropout; the last also has augmentation, an average of the weights and a
dataset that decodes images in threads. zoo starts no worker processes."""


def lay_out(folder: Path) -> None:
    """Write the data of the toys: a text of 3,000 characters, and 120 images in two classes."""
    draw = random.Random(0)
    words = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "and", "sleeps"]
    text = ""
    while len(text) < 3_000:
        text += draw.choice(words) + draw.choice([" ", " ", " ", ".\n"])
    (folder / "text.txt").write_text(text, encoding="utf-8")
    for label, name in enumerate(("dark", "light")):
        place = folder / "pictures" / name
        place.mkdir(parents=True)
        for number in range(60):
            pixels = bytes(min(255, draw.randrange(128) + 128 * label) for _ in range(20 * 20 * 3))
            Image.frombytes("RGB", (20, 20), pixels).save(place / f"{number}.png")


def train(name: str, run: str, *more: str, epochs: int = 2) -> list[str]:
    """Return the command that trains a toy in a run directory, or resumes it there."""
    fixed = ("--epochs", f"{epochs}", "--precision", "fp32", "--run", run, "--resume")
    return ["train", *TOYS[name], *fixed, "--device", "cpu", *more]


def outcome(run: Path) -> dict[str, Any]:
    """Return everything that must be equal in two equal runs, without what the clock said.

    That is the weights, the optimizer state, the carried hidden state, the position, the metrics and the log
    of the steps.
    """
    checkpoint = checkpoint_info(run / "checkpoint.safetensors")
    epochs, steps = (rows(run / name) for name in ("metrics.jsonl", "steps.jsonl"))
    for row in (*epochs, *checkpoint["state"]["history"]):
        row.pop("clock")
    for row in steps:
        row.pop("rate")
    files = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "best.safetensors")
    }
    return {"checkpoint": checkpoint, "rows": epochs, "steps": steps, "files": files}


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def checkpoint_info(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds besides tensors: a `CheckpointInfo` as JSON data."""
    return json.loads(read_container(path).metadata[KEY])


def steps(run: Path) -> int:
    """Return the number of steps in the newest checkpoint of a run, -1 if there is none."""
    infos = map(checkpoint_info, run.glob("checkpoint*.safetensors"))
    return max((info["state"]["position"]["steps"] for info in infos), default=-1)


def leftovers(folder: Path) -> list[str]:
    """Return the names of the temporary files and folders that were left behind."""
    return [path.name for path in folder.rglob(".*.tmp")]
