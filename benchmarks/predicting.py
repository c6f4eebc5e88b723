"""`zoo predict` on files: as accurate as `zoo eval`, as fast as timm, in little memory, and safe from kills.

    ZOO_DATA=FOLDER python benchmarks/predicting.py [accuracy speed memory kills]

- accuracy: CIFAR-10's test images as PNG files; the right answers are counted from the CSV, and compared with
  the confusion matrix of `evaluate`, for batches of 1, 7 and 500.
- speed: images a second, in turn, against a loop over timm's data set and loader that writes such a CSV, as
  timm's inference.py does, on 32-pixel PNGs with resnet20 and on 224-pixel JPEGs with timm's resnet18; and
  against the network alone, on images that are already decoded. The PNGs also by the exported network. timm
  has two worker processes and batches of 256, its script's defaults, and then zoo's 64; in a process of its
  own, which gives freed memory back as usual, and then in one that keeps it as zoo does.
- memory: the largest resident memory of the process, for 1,000 and for 100,000 images.
- kills: SIGKILL at random times; the same command goes on until the CSV is whole.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data.dataset_factory import create_dataset
from timm.data.loader import create_loader

import zoo
from zoo import Model, Registry
from zoo.files.cards import Card, DatasetCard
from zoo.models.module_runner import runner_of

NAME = "cifar10-resnet20"
CIFAR = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616]}
BATCHES = (1, 7, 500)
TURNS, KILLS = 3, 50


def images(folder: Path, count: int, *, size: int, suffix: str) -> Path:
    """Return a folder with CIFAR-10's first test images as files, `NUMBER-LABEL.png`, in several folders."""
    split = zoo.open_dataset("cifar10", progress=False).split("test")
    for number in range(count):
        image, label = split[number]
        place = folder / f"{number // 1_000:02}" / f"{number:05}-{int(label)}{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shown = Image.fromarray(image.permute(1, 2, 0).numpy())
        if size != shown.width:
            shown = shown.resize((size, size), Image.Resampling.BICUBIC)
        shown.save(place, quality=90)
    return folder


def right(table: Path, classes: list[str]) -> Counter[str]:
    """Return how many images of each class a CSV has right."""
    found = Counter[str]()
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label = classes[int(Path(row["input"]).stem.partition("-")[2])]
            found[label] += row["class"] == label
    return found


def accuracy(folder: Path) -> None:
    """Compare what is counted from a CSV with what `evaluate` counts."""
    files = images(folder / "png", 10_000, size=32, suffix=".png")
    model = zoo.load(NAME, progress=False)
    measured = model.evaluate(progress=False)
    wanted = {row["class"]: round(row["accuracy"] * row["count"]) for row in measured["classes"]}
    for size in BATCHES:
        table = folder / f"{size}.csv"
        model.predict(files, batch_size=size, progress=False).write(table)
        counted = dict(right(table, model.classes))
        total = sum(counted.values())
        same = "equal in each class" if counted == wanted else "NOT equal"
        print(f"batches of {size}: {total:,} of 10,000 right, evaluate {sum(wanted.values()):,}: {same}")


def with_timm(model: Model, files: Path, out: Path, size: int) -> None:
    """Predict with timm's data set and loader, and write a CSV of the best class and its probability."""
    data: Any = create_dataset(root=str(files), name="", split="test")
    loader: Any = create_loader(
        data,
        input_size=(3, model.card.preprocess["size"], model.card.preprocess["size"]),
        batch_size=size,
        use_prefetcher=True,
        interpolation="bilinear",
        mean=tuple(model.card.preprocess["mean"]),
        std=tuple(model.card.preprocess["std"]),
        crop_pct=1.0,
        num_workers=2,
        device=torch.device("cpu"),
    )
    names, place = data.filenames(basename=True), 0
    with out.open("w", newline="", encoding="utf-8") as file, torch.inference_mode():
        writer = csv.writer(file)
        for images, _ in loader:
            best = model.module(images).softmax(1).max(1)
            for share, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                writer.writerow([names[place], number, share])
                place += 1


def resnet18(registry: Registry) -> Model:
    """Return timm's resnet18 as a model of zoo for images of 224 pixels, with its initial weights."""
    preprocess = {"size": 224, **CIFAR, "classes": [f"class {number}" for number in range(1_000)]}
    card = Card(
        architecture="convnet/resnet20",
        arguments={"in_channels": 3, "image_size": 224, "num_classes": 1_000},
        task="classification",
        dataset=DatasetCard(name="none", options={}, fingerprint=""),
        preprocess=preprocess,
        training={},
        seed=0,
        progress={},
        metrics={},
        versions={},
    )
    module = timm.create_model("resnet18", pretrained=False).eval()
    return Model(runner_of(module, card, registry), card, path=Path("resnet18"), registry=registry)


def rate(do: Callable[[], object], count: int) -> float:
    """Return how many images a second something answers."""
    start = time.perf_counter()
    do()
    return count / (time.perf_counter() - start)


def alone(model: Model, count: int) -> None:
    """Answer so many images that need not be read, in batches as those of `predict`."""
    size = model.card.preprocess["size"]
    images = torch.rand(64, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for first in range(0, count, 64):
            model.module(images[: count - first])


def networks(size: int) -> Model:
    """Return the network for images of a size."""
    return zoo.load(NAME, progress=False) if size == 32 else resnet18(Registry.discover())


def rate_of_timm(files: Path, count: int, size: int, out: Path, *, batch: int, keep: bool) -> float:
    """Return how many images a second timm answers, in a process that keeps freed memory or does not."""
    # The variable changes nothing but that zoo, which loads the network, leaves the memory as it is
    variables = {} if keep else {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import predicting
model, files, out = predicting.networks({size}), Path({str(files)!r}), Path({str(out)!r})
print(predicting.rate(lambda: predicting.with_timm(model, files, out, {batch}), {count}))
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=os.environ | variables, capture_output=True, text=True, check=True)
    return float(done.stdout)


def write(model: Model, files: Path, out: Path) -> None:
    """Predict with zoo, and write a CSV."""
    model.predict(files, progress=False).write(out)


def speed(folder: Path) -> None:
    """Compare rates with those of timm's loader, and of the network alone."""
    networks(32).export(folder / "small.onnx", synthetic=True, progress=False)
    for size, count, suffix in (32, 10_000, ".png"), (224, 500, ".jpg"):
        model = networks(size)
        files = images(folder / f"{size}{suffix}", count, size=size, suffix=suffix)
        timm_of = partial(rate_of_timm, files, count, size)
        zoo_of = partial(write, model, files)
        ways: dict[str, Callable[[Path], float]] = {
            "timm": partial(timm_of, batch=256, keep=False),
            "timm, batches of 64": partial(timm_of, batch=64, keep=False),
            "timm, batches of 64, memory kept": partial(timm_of, batch=64, keep=True),
            "zoo": lambda out, zoo_of=zoo_of, count=count: rate(partial(zoo_of, out), count),
            "the network alone": lambda out, model=model, count=count: rate(
                partial(alone, model, count), count
            ),
        }
        if size == 32:
            small = partial(write, zoo.load(folder / "small.onnx"), files)
            ways["zoo, exported"] = lambda out, small=small, count=count: rate(partial(small, out), count)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(TURNS):
            for name, way in ways.items():
                rates[name].append(way(folder / f"{size}-{turn}-{name}.csv"))
        least = max(rates["timm"])
        for name, found in rates.items():
            print(f"{size}-pixel {suffix}, {name}: {max(found):,.0f} images/s, {max(found) / least:.2f} x")


def command(*more: str | Path) -> list[str]:
    """Return a command that predicts."""
    return [sys.executable, "-m", "zoo", "predict", NAME, *map(str, more), "--quiet"]


def memory(folder: Path) -> None:
    """Compare the largest memory for many images with that for few."""
    files = sorted(map(str, images(folder / "png", 10_000, size=32, suffix=".png").rglob("*.png")))
    most: dict[int, float] = {}
    for count in (1_000, 100_000):
        listed = "\n".join((files * (count // len(files) + 1))[:count])
        out = folder / f"{count}.csv"
        code = f"""
import resource, subprocess, sys
subprocess.run({command("-", "--out", out)!r}, input=sys.stdin.buffer.read(), check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, input=listed, capture_output=True, text=True, check=True)
        most[count] = float(done.stdout)
        print(f"{count:,} images: at most {most[count]:,.0f} MiB")
    print(f"difference: {most[100_000] - most[1_000]:,.0f} MiB")


def kills(folder: Path) -> None:
    """Kill a prediction again and again, and compare its CSV with one that nobody killed."""
    files, draws = images(folder / "png", 10_000, size=32, suffix=".png"), random.Random(0)
    whole = folder / "whole.csv"
    subprocess.run(command(files, "--out", whole), check=True, capture_output=True)
    killed = wrong = tables = 0
    while killed < KILLS:
        out = folder / f"killed-{tables}.csv"
        finished = False
        while not finished:
            going = subprocess.Popen(command(files, "--out", out), stdout=subprocess.DEVNULL)
            try:
                code = going.wait(draws.uniform(1, 6) if killed < KILLS else None)
                assert code == 0, f"it ended with exit code {code}"
                finished = True
            except subprocess.TimeoutExpired:
                going.kill()
                going.wait()
                killed += 1
        tables += 1
        wrong += out.read_bytes() != whole.read_bytes()
    print(f"{killed} kills, {tables} tables of 10,000 images, {wrong} not equal to one that nobody killed")


def main() -> None:
    """Measure what the arguments name."""
    measures = {"accuracy": accuracy, "speed": speed, "memory": memory, "kills": kills}
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=[], choices=[*measures, []])
    for name in parser.parse_args().what or measures:
        with tempfile.TemporaryDirectory() as folder:
            measures[name](Path(folder))


if __name__ == "__main__":
    main()
