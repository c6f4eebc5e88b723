"""Faults planted in images of shapes, and how many of them `zoo data check` and the analyzer suspects find.

    python benchmarks/data_checks.py                  # planted duplicates and swapped labels
    ZOO_DATA=... python benchmarks/data_checks.py cifar10   # what is found in CIFAR-10, and the time

The images of `shapes` are written to a folder as PNG files. One percent of them, taken from the training
images, are added to the test split: unchanged, brighter, shifted by a pixel, mirrored, or compressed as a
JPEG of quality 90. Of the training images, two percent get the label of another class. ResNet-20 is trained
on this folder, and suspects analyzes its training split.

A found pair is right if it is a planted one. Precision is the share of found pairs or labels that are right,
and recall the share of planted ones that are found.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps

import zoo

DUPLICATES, SWAPPED = 0.01, 0.02


def brighter(image: Image.Image) -> Image.Image:
    return image.point([min(255, round(1.1 * value + 10)) for value in range(256)] * 3)


def shifted(image: Image.Image) -> Image.Image:
    """Move an image by a pixel to the right and down, and repeat its border."""
    moved = ImageChops.offset(image, 1, 1)
    moved.paste(moved.crop((0, 1, moved.width, 2)), (0, 0))
    moved.paste(moved.crop((1, 0, 2, moved.height)), (0, 0))
    return moved


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "unchanged": lambda image: image,
    "brighter": brighter,
    "shifted": shifted,
    "mirrored": ImageOps.mirror,
    "recompressed": recompressed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the checks of data find.")
    parser.add_argument("dataset", nargs="?", default="", help="Check this dataset, and plant nothing.")
    parser.add_argument("--epochs", type=int, default=12, help="Epochs of the training for suspects.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the planted faults.")
    arguments = parser.parse_args()
    if arguments.dataset:
        check(arguments.dataset)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "shapes")
        copies, swapped = plant(root, arguments.seed)
        find_copies(root, copies)
        find_swapped(root, swapped, Path(folder, "run"), arguments.epochs)


def check(name: str) -> None:
    """Print what is found in a dataset, and the processor time of one thread."""
    torch.set_num_threads(1)
    started, used = time.perf_counter(), time.process_time()
    facts = zoo.check_data(name, progress=False).facts
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    counts = {key: len(facts[key]) for key in ("exact", "near", "constant")}
    print(json.dumps(counts | {"seconds": round(seconds, 1), "processor_seconds": round(processor, 1)}))
    for row in facts["copies"]:
        print(json.dumps(row))


def plant(root: Path, seed: int) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Write the images with faults; return the planted pairs with their changes, and the true labels."""
    rng, data = random.Random(seed), zoo.open_dataset("shapes", progress=False)
    classes: list[str] = [*data.preprocess["classes"]]
    images: dict[str, Image.Image] = {}
    labels: dict[str, str] = {}
    for split in ("train", "val", "test"):
        items = data.split(split)
        for number in range(len(items)):
            pixels, label = items[number]
            images[f"{split}-{number:05}"] = Image.fromarray(
                np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
            )
            labels[f"{split}-{number:05}"] = classes[label]
    train = [name for name in images if name.startswith("train")]
    copies: dict[tuple[str, str], str] = {}
    for place, name in enumerate(rng.sample(train, round(DUPLICATES * len(images)))):
        change = [*CHANGES][place % len(CHANGES)]
        images[f"test-copy-{place:03}"] = CHANGES[change](images[name])
        labels[f"test-copy-{place:03}"] = labels[name]
        copies[name, f"test-copy-{place:03}"] = change
    swapped: dict[str, str] = {}
    for name in rng.sample(train, round(SWAPPED * len(train))):
        swapped[name] = labels[name]
        labels[name] = rng.choice([each for each in classes if each != labels[name]])
    for name, image in images.items():
        path = root / name.partition("-")[0] / labels[name] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return copies, swapped


def find_copies(root: Path, copies: dict[tuple[str, str], str]) -> None:
    facts = zoo.check_data("folder", data={"root": str(root), "size": 32}, progress=False).facts
    found: set[tuple[str, str]] = set()
    for pair in [*facts["exact"], *facts["near"]]:
        names = [(item["split"], Path(item["name"]).stem) for item in pair["items"]]
        found |= {
            (a, b) for s, a in names for t, b in names if (s, t) in (("train", "test"), ("val", "test"))
        }
    report("duplicates across splits", found, {*copies})
    for change in CHANGES:
        planted = {pair for pair, how in copies.items() if how == change}
        print(f"  {change}: {len(planted & found)} of {len(planted)}")


def find_swapped(root: Path, swapped: dict[str, str], run: Path, epochs: int) -> None:
    options = {"root": str(root), "size": 32}
    model = zoo.train("resnet20", "folder", data=options, run=run, epochs=epochs, progress=False).model
    findings = model.analyze("suspects", split="train", data=options, progress=False)
    rows: list[dict[str, Any]] = findings.analysis.tables["suspects"]
    found = {Path(row["input"]).stem for row in rows}
    report("swapped labels", found, {*swapped})
    right = [row for row in rows if swapped.get(Path(row["input"]).stem) == row["likely"]]
    print(f"  the likely label is the true one for {len(right)} of {len({*swapped} & found)}")
    print(f"  held-out accuracy {findings.scores['held_out_accuracy']:.2%}")


def report(what: str, found: set[Any], planted: set[Any]) -> None:
    both = len(found & planted)
    print(
        f"{what}: {len(planted)} planted, {len(found)} found, {both} of them right; "
        f"precision {both / max(len(found), 1):.3f}, recall {both / len(planted):.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
