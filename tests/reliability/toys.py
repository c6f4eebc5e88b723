"""Runs of a second: every source of randomness there is, on data of our own."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.files import storage
from zoo.training.directory import KEY

TOYS = {
    "rnn": [
        *("rnn", "files", "--data", "paths=text.txt", "--model", "hidden_size=24", "--model", "dropout=0.4"),
        *("--train", "batch_size=8", "--train", "bptt=12", "--train", "bptt_jitter=true"),
        *("--train", "optimizer=sgd", "--train", "clip_grad_norm=0.5", "--train", "lr=0.1"),
    ],
    "lstm": [
        *("lstm", "files", "--data", "paths=text.txt", "--model", "hidden_size=24", "--model", "dropout=0.4"),
        *("--model", "num_layers=2", "--train", "batch_size=8", "--train", "bptt=12"),
        *("--train", "bptt_jitter=true", "--train", "optimizer=adam", "--train", "nonmono=1"),
    ],
    "resnet-lite": [
        *("resnet-lite", "folder", "--data", "root=pictures", "--data", "size=16"),
        *("--model", "widths=[4, 8]", "--model", "dropout=0.3", "--train", "batch_size=8"),
        *("--train", "augment=crop,flip", "--train", "ema_decay=0.9", "--train", "label_smoothing=0.1"),
    ],
}
"""Arguments of `zoo train`: dropout in all; augmentation, an average of weights and a dataset that decodes
with threads in the last. zoo has no worker processes."""


def lay_out(folder: Path) -> None:
    """Write the data of the toys: a text of 3,000 characters and 120 pictures in two classes."""
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
    """Return the command that trains a toy in a run directory, or goes on with it."""
    fixed = ("--train", f"epochs={epochs}", "--train", "precision=fp32", "--run", run, "--resume")
    return ["train", *TOYS[name], *fixed, "--device", "cpu", *more]


def outcome(run: Path) -> dict[str, Any]:
    """Return all that must be equal of two runs: weights, optimizer, carried state, position and metrics.

    The clock's readings are left out.
    """
    data = json.loads(storage.read_header(run / "checkpoint.safetensors").metadata[KEY])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in (*rows, *data["history"]):
        row.pop("clock")
    files = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "best.safetensors")
    }
    return {"checkpoint": data, "rows": rows, "files": files}


def steps(run: Path) -> int:
    """Return how far the newest checkpoint of a run is, -1 if there is none."""
    headers = map(storage.read_header, run.glob("checkpoint*.safetensors"))
    return max((json.loads(each.metadata[KEY])["position"]["steps"] for each in headers), default=-1)


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files and folders that lie about."""
    return [path.name for path in folder.rglob(".*.tmp")]
