"""Faults planted in images, and how many of them `zoo data check` and the analyzer `suspects` find."""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps

import zoo
from benchmarks.measuring import benchmark, share_of
from benchmarks.rows import Row

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


@benchmark(minutes=5)
def data_checks(*, epochs: int = 12, seed: int = 0) -> Iterator[Row]:
    """Planted duplicates and swapped labels that `zoo data check` and the analyzer `suspects` find.

    One percent of the images of shapes, taken from the training images, are added to the test split:
    unchanged, brighter, shifted by a pixel, mirrored, or compressed as a JPEG of quality 90. Of the training
    images, two percent get the label of another class. ResNet-20 is trained on this folder, and suspects
    analyzes its training split.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "shapes")
        copies, swapped = _plant(root, seed)
        options = {"root": str(root), "size": 32}
        facts = zoo.check_data("folder", data=options, progress=False).facts
        pairs: set[Any] = set()
        for pair in [*facts["exact"], *facts["near"]]:
            names = [(item["split"], Path(item["name"]).stem) for item in pair["items"]]
            pairs |= {(a, b) for s, a in names for t, b in names if s in ("train", "val") and t == "test"}
        case = f"duplicates, seed {seed}"
        yield from _found(case, pairs, {*copies})
        for change in CHANGES:
            planted = {pair for pair, how in copies.items() if how == change}
            yield share_of(case, f"recall of {change}", len(planted & pairs), len(planted))
        where: dict[str, Any] = {"run": Path(folder, "run"), "epochs": epochs, "progress": False}
        model = zoo.train("resnet20", "folder", data=options, **where).model
        findings = model.analyze("suspects", split="train", data=options, progress=False)
        likely = {Path(row["input"]).stem: row["likely"] for row in findings.analysis.tables["suspects"]}
        case = f"swapped labels, seed {seed}"
        yield from _found(case, {*likely}, {*swapped})
        hits = [likely[name] == swapped[name] for name in likely.keys() & swapped.keys()]
        yield share_of(case, "likely label is the true one", sum(hits), len(hits))


@benchmark(minutes=1, needs="CIFAR-10")
def duplicates(*, dataset: str = "cifar10") -> Iterator[Row]:
    """Exact and near duplicates that `zoo data check` finds in CIFAR-10, and the time with one thread.

    Also for each split: its images that have a duplicate in the same split, or in one before it.
    """
    torch.set_num_threads(1)
    started, used = time.perf_counter(), time.process_time()
    facts = zoo.check_data(dataset, progress=False).facts
    yield Row(dataset, "time", time.perf_counter() - started, "s")
    yield Row(dataset, "CPU time", time.process_time() - used, "s of CPU time")
    for kind in ("exact", "near", "constant"):
        yield Row(dataset, kind, len(facts[kind]))
    for row in facts["copies"]:
        for kind in ("exact", "near"):
            yield Row(f"{dataset}, {row['split']}", f"{kind} duplicates in {row['in']}", row[kind])


def _plant(root: Path, seed: int) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Write the images with faults; return the planted pairs with their changes, and the true labels."""
    rng, data = random.Random(seed), zoo.open_dataset("shapes", progress=False)
    classes: list[str] = [*data.preprocess["classes"]]
    images: dict[str, Image.Image] = {}
    labels: dict[str, str] = {}
    for split in ("train", "val", "test"):
        items = data.split(split)
        for number in range(len(items)):
            pixels, label = items[number]
            array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
            images[f"{split}-{number:05}"] = Image.fromarray(array)
            labels[f"{split}-{number:05}"] = classes[label]
    train = [name for name in images if name.startswith("train")]
    copies: dict[tuple[str, str], str] = {}
    for place, name in enumerate(rng.sample(train, round(DUPLICATES * len(images)))):
        change, copy = [*CHANGES][place % len(CHANGES)], f"test-copy-{place:03}"
        images[copy], labels[copy], copies[name, copy] = CHANGES[change](images[name]), labels[name], change
    swapped: dict[str, str] = {}
    for name in rng.sample(train, round(SWAPPED * len(train))):
        swapped[name] = labels[name]
        labels[name] = rng.choice([each for each in classes if each != labels[name]])
    for name, image in images.items():
        path = root / name.partition("-")[0] / labels[name] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return copies, swapped


def _found(case: str, found: set[Any], planted: set[Any]) -> Iterator[Row]:
    """Yield which share of what is found is right, and which share of what is planted is found."""
    both = len(found & planted)
    yield share_of(case, "precision", both, max(len(found), 1))
    yield share_of(case, "recall", both, len(planted))
