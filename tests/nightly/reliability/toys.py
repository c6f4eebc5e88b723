"""Runs that take a second and use every source of randomness, on data made here."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.files.cards import CHECKPOINT, read_card
from zoo.files.container import read_container

# Where they are trained, such as `cuda`; a GPU repeats its bits only if that is asked for
_ON = os.environ.get("ZOO_TEST_DEVICE", "cpu")
DEVICE = ("--device", _ON, *([] if _ON == "cpu" else ["--deterministic"]))

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
        *("resnet-lite", "folder", "--data", "root=images", "--data", "size=16"),
        *("--model", "widths=[4, 8]", "--model", "dropout=0.3", "--batch-size", "8"),
        *("--augment", "crop,flip", "--ema-decay", "0.9", "--label-smoothing", "0.1"),
    ],
}
"""Arguments of `zoo train`. All have dropout; the last also has augmentation, an average of the weights and a
dataset that decodes images in threads."""

_TEXT = ("files", "--data", "paths=text.txt", "--batch-size", "8", "--bptt", "12")
_IMAGES = ("folder", "--data", "root=images", "--data", "size=16", "--batch-size", "8")
_SCENES = (
    *("scenes", "--data", "size=16", "--data", "train_size=120", "--data", "val_size=24"),
    *("--data", "test_size=0", "--batch-size", "8"),
)
_SMALL = ("--model", "hidden_size=16")

COMBINATIONS = {
    "awd-lstm, tied, penalties": [
        *("awd-lstm", *_TEXT, *_SMALL, "--model", "embedding_dim=16", "--model", "tie_weights=true"),
        *("--model", "activation_penalty=2", "--model", "temporal_penalty=1", "--clip-grad-norm", "0.3"),
    ],
    "awd-lstm, NT-ASGD": [
        *("awd-lstm", *_TEXT, *_SMALL, "--optimizer", "sgd", "--lr", "20", "--schedule", "constant"),
        *("--nonmono", "1", "--bptt-jitter"),
    ],
    "min-gru": ["min-gru", *_TEXT, *_SMALL, "--model", "num_layers=2", "--batching", "sections"],
    "gru, words": ["gru", *_TEXT, *_SMALL, "--data", "tokens=word", "--model", "dropout=0.2"],
    "lstm, backwards": ["lstm", *_TEXT, *_SMALL, "--data", "backwards=true", "--model", "dropout=0.3"],
    "airbench": ["airbench", *_IMAGES, "--model", "widths=[4, 8, 8, 8]", "--lr", "0.1"],
    "lstm, fine-tuned, frozen": ["lstm", *_TEXT, "--from", "./lstm-whole", "--freeze", "embedding"],
    "resnet-lite, fine-tuned, layer decay": [
        *("resnet-lite", *_IMAGES, "--from", "./resnet-lite-whole", "--layer-decay", "0.8"),
    ],
    "rnn, accumulated": ["rnn", *_TEXT, *_SMALL, "--grad-accum-steps", "3", "--model", "dropout=0.2"],
    "lstm, EMA": ["lstm", *_TEXT, *_SMALL, "--ema-decay", "0.95", "--model", "dropout=0.2"],
    "convnet-bn, mixup": ["convnet-bn", *_IMAGES, "--mixup-alpha", "0.4", "--augment", "crop,flip"],
    "resnet20, clipped": ["resnet20", *_IMAGES, "--clip-grad-norm", "0.1", "--augment", "cutout"],
    "gru, jitter": ["gru", *_TEXT, *_SMALL, "--bptt-jitter", "--clip-grad-norm", "0.2"],
    "lstm, bf16": ["lstm", *_TEXT, *_SMALL, "--precision", "bf16", "--model", "dropout=0.3"],
    "resnet-lite, bf16": ["resnet-lite", *_IMAGES, "--model", "widths=[4, 8]", "--precision", "bf16"],
    "rnn-cell": ["rnn-cell", *_TEXT, *_SMALL, "--optimizer", "adamw", "--weight-decay", "0.1"],
    "gru, windows": ["gru", *_TEXT, *_SMALL, "--batching", "windows", "--batch-size", "40"],
    "mlp, warmup": ["mlp", *_IMAGES, "--optimizer", "sgd", "--warmup-epochs", "0.5", "--momentum", "0.9"],
    "camnet, restarts": [
        *("camnet", *_IMAGES, "--model", "widths=[4, 8]", "--schedule", "cosine-restarts"),
        *("--schedule-option", "cycle_length=1", "--label-smoothing", "0.1", "--augment", "translate,flip"),
    ],
    "lstm, Muon": [
        *("lstm", *_TEXT, *_SMALL, "--optimizer", "muon", "--schedule", "warmup-stable-decay"),
        *("--model", "dropout=0.2", "--decay-matrices-only", "--lr-scale", "out=2"),
    ],
    "resnet-lite, Lion, RandAugment": [
        *("resnet-lite", *_IMAGES, "--model", "widths=[4, 8]", "--optimizer", "lion"),
        *("--augment", "rand-augment,random-erasing,flip", "--augment-option", "random-erasing.p=0.5"),
    ],
    "convnet, patience": ["convnet", *_IMAGES, "--patience", "1", "--schedule", "cosine"],
    "convnet-bn, several labels, mixup": [
        *("convnet-bn", *_SCENES, "--mixup-alpha", "0.4", "--augment", "crop,flip"),
    ],
    "camnet, several labels, accumulated": [
        *("camnet", *_SCENES, "--model", "widths=[4, 8]", "--grad-accum-steps", "2", "--ema-decay", "0.9"),
    ],
    "mlp, uncached": ["mlp", *_IMAGES, "--data", "cache=false", "--augment", "crop,flip", "--lr", "0.01"],
    "resnet-lite, accumulated, mixup, EMA": [
        *("resnet-lite", *_IMAGES, "--model", "widths=[4, 8]", "--model", "dropout=0.3"),
        *("--grad-accum-steps", "2", "--mixup-alpha", "0.2", "--ema-decay", "0.9"),
    ],
}
"""More of them, each with other options that a run must keep over a kill; some begin from a toy's weights."""
if find_spec("zoo_bpe"):  # from `pip install ./examples/zoo-bpe`
    COMBINATIONS["gru, BPE"] = [
        *("gru", "bpe/texts", "--data", "path=text.txt", "--data", "vocab_size=60"),
        *("--batch-size", "8", "--bptt", "12", *_SMALL),
    ]


SHARDS = {
    "mlp, shards": [
        *("mlp", "shards", "--data", "train=shards/train-{0..3}.tar", "--data", "val=shards/val.tar"),
        *("--data", "size=8", "--batch-size", "128", "--augment", "crop,flip", "--lr", "0.01"),
    ],
}
SHARDS["mlp, shards, two processes"] = [*SHARDS["mlp, shards"], "--processes", "2", "--threads", "1"]
"""Trainings on the tar files that `write_shards` writes."""


def write_shards(folder: Path, images: int) -> None:
    """Write four tars of small images for training, and one of 100 for validation."""
    draw = random.Random(2)
    folder.mkdir()
    for name, count in {**{f"train-{number}": images // 4 for number in range(4)}, "val": 100}.items():
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for number in range(count):
                file = io.BytesIO()
                Image.frombytes("RGB", (8, 8), draw.randbytes(192)).save(file, "PNG")
                for suffix, content in ((".png", file.getvalue()), (".cls", b"%d" % (number % 2))):
                    info = tarfile.TarInfo(f"{number}{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def lay_out(folder: Path) -> None:
    """Write the data of the toys: a text of 3,000 characters, and 120 images in two classes."""
    draw = random.Random(0)
    words = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "and", "sleeps"]
    text = ""
    while len(text) < 3_000:
        text += draw.choice(words) + draw.choice([" ", " ", " ", ".\n"])
    (folder / "text.txt").write_text(text, encoding="utf-8")
    for label, name in enumerate(("dark", "light")):
        place = folder / "images" / name
        place.mkdir(parents=True)
        for number in range(60):
            pixels = bytes(min(255, draw.randrange(128) + 128 * label) for _ in range(20 * 20 * 3))
            Image.frombytes("RGB", (20, 20), pixels).save(place / f"{number}.png")


def train(name: str, run: str, *more: str, epochs: int = 2) -> list[str]:
    """Return the command that trains a toy in a run directory, or resumes it there."""
    fixed = ("--epochs", f"{epochs}", "--precision", "fp32", "--run", run, "--resume")
    return ["train", *fixed, *DEVICE, *(TOYS | COMBINATIONS | SHARDS)[name], *more]


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
        row.pop("time")
    cards = {name: read_card(run / name).to_dict() for name in ("model.safetensors", "best.safetensors")}
    for card in cards.values():
        card.pop("environment")
    return {"checkpoint": checkpoint, "rows": epochs, "steps": steps, "cards": cards}


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def checkpoint_info(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds besides tensors: a `CheckpointInfo` as JSON data."""
    return json.loads(read_container(path).metadata[CHECKPOINT])


def steps(run: Path) -> int:
    """Return the number of steps in the newest checkpoint of a run, -1 if there is none."""
    infos = map(checkpoint_info, run.glob("checkpoint*.safetensors"))
    return max((info["state"]["position"]["steps"] for info in infos), default=-1)


def leftovers(folder: Path) -> list[str]:
    """Return the names of the temporary files and folders that were left behind."""
    return [path.name for path in folder.rglob(".*.tmp")]
