"""`zoo predict` on files, beside `zoo eval` and timm's loader: accuracy, speed, memory and kills."""

from __future__ import annotations

import csv
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import zoo
from benchmarks.exporting import untrained
from benchmarks.measuring import (
    ZOO,
    benchmark,
    child,
    environment,
    in_turn,
    median_of,
    python,
    ratio_of,
    seconds,
)
from benchmarks.rows import Row
from benchmarks.training_speed import GIVEN_BACK
from zoo import Model, Registry
from zoo.errors import OptionError
from zoo.interfaces import Batch, CarriesState, make_task

NAME = "cifar10-resnet20"


def images(folder: Path, count: int, *, size: int = 32, suffix: str = ".png") -> Path:
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


@benchmark(minutes=3, needs="CIFAR-10")
def predicting_accuracy(*, count: int = 10_000) -> Iterator[Row]:
    """Correct predictions in the CSV file of `zoo predict`, compared with `zoo eval`."""
    model = zoo.load(NAME, progress=False)
    measured = model.evaluate(progress=False)
    wanted = {row["class"]: round(row["accuracy"] * row["count"]) for row in measured["classes"]}
    with tempfile.TemporaryDirectory() as name:
        files, table = images(Path(name, "png"), count), Path(name, "table.csv")
        for size in (1, 7, 500):
            table.unlink(missing_ok=True)
            model.predict(files, batch_size=size, progress=False).write(table)
            found = Counter[str]()
            with table.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    label = model.classes[int(Path(row["input"]).stem.partition("-")[2])]
                    found[label] += row["class"] == label
            yield Row(f"batches of {size}", "correct", found.total(), "right", count)
            apart = sum(found[label] != wanted[label] for label in wanted)
            yield Row(f"batches of {size}", "classes that differ from zoo eval", apart, "wrong", len(wanted))


@benchmark(minutes=15, needs="CIFAR-10, timm")
def predicting_speed(*, rounds: int = 3, threads: int = 0) -> Iterator[Row]:
    """Images a second of `zoo predict`, relative to a loop over timm's loader, and of the network alone.

    resnet20 on 32-pixel PNGs, also exported, and timm's resnet18 on 224-pixel JPEGs. timm has two worker
    processes and batches of 256, its script's defaults, and then zoo's 64; in a process of its own, which
    gives freed memory back as usual, and then in one that keeps it as zoo does.
    """
    if threads:
        torch.set_num_threads(threads)
    for size, count, suffix in (32, 10_000, ".png"), (224, 500, ".jpg"):
        yield from _rates(size, count, suffix, rounds, threads)


def _rates(size: int, count: int, suffix: str, rounds: int, threads: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name, "out.csv")
        model, files = network(size), images(Path(name, "images"), count, size=size, suffix=suffix)

        def rate(do: Callable[[], object]) -> float:
            return count / seconds(do)

        def timm(batch: int, *, keep: bool = False) -> float:
            code = "from benchmarks.predicting import with_timm\nprint(with_timm(*map(str, sys.argv[1:])))"
            env = environment() if keep else environment(**GIVEN_BACK)
            return count / float(child(python(code, size, files, batch, threads), env=env).out)

        def write(model: Model) -> None:
            out.unlink(missing_ok=True)
            model.predict(files, progress=False).write(out)

        ways: dict[str, Callable[[], float]] = {
            "timm": lambda: timm(256),
            "timm, batches of 64": lambda: timm(64),
            "timm, batches of 64, memory kept": lambda: timm(64, keep=True),
            "zoo": lambda: rate(lambda: write(model)),
            "the network alone": lambda: rate(lambda: _alone(model, count)),
        }
        if size == 32:
            model.export(folder / "small.onnx", synthetic=True, progress=False)
            small = zoo.load(folder / "small.onnx")
            ways["zoo, exported"] = lambda: rate(lambda: write(small))
        rates = in_turn(ways, rounds)
    for way, found in rates.items():
        yield median_of(f"{size} pixels, {way}", "rate", found, "images/s")
        yield ratio_of(f"{size} pixels, {way}", "beside timm", found, rates["timm"], "times as fast")


def network(size: int) -> Model:
    """Return the network for images of a size: resnet20, or timm's resnet18 with its initial weights."""
    if size == 32:
        return zoo.load(NAME, progress=False)
    return untrained("timm/resnet18", Registry.discover(), image_size=224, num_classes=1_000)


def with_timm(size: str, files: str, batch: str, threads: str) -> float:
    """Predict and write a CSV as timm's inference.py does, with its loader; return the seconds."""
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader

    if int(threads):
        torch.set_num_threads(int(threads))
    pixels = int(size)
    model = network(pixels)
    data: Any = create_dataset(root=files, name="", split="test")
    loader: Any = create_loader(
        data,
        input_size=(3, pixels, pixels),
        batch_size=int(batch),
        use_prefetcher=True,
        interpolation="bilinear",
        mean=tuple(model.card.preprocess["mean"]),
        std=tuple(model.card.preprocess["std"]),
        crop_pct=1.0,
        num_workers=2,
        device=torch.device("cpu"),
    )

    @torch.inference_mode()
    def predict() -> None:
        names, place = data.filenames(basename=True), 0
        with tempfile.TemporaryFile("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for images, _ in loader:
                best = model.module(images).softmax(1).max(1)
                for share, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                    writer.writerow([names[place], number, share])
                    place += 1

    return seconds(predict)


@torch.inference_mode()
def _alone(model: Model, count: int) -> None:
    """Answer so many images that need not be read, in batches as those of `predict`."""
    size = model.card.preprocess["size"]
    images = torch.rand(64, 3, size, size).contiguous(memory_format=torch.channels_last)
    for first in range(0, count, 64):
        model.module(images[: count - first])


@benchmark(minutes=4, needs="CIFAR-10, Nietzsche")
def evaluating(*names: str, rounds: int = 5) -> Iterator[Row]:
    """Speed of evaluating published weights on their test split, relative to bare forward passes.

    The forward passes are those of the same model on the same batches, prepared before, with the state
    carried on and nothing computed from the logits. Evaluating includes opening the data, losses and
    intervals.
    """
    for name in names or (NAME, "nietzsche-lstm"):
        model = zoo.load(name, device="cpu", progress=False)
        registry = Registry.discover()
        task = make_task(registry, model.card.task).as_trained(model.card.training)
        data = zoo.open_dataset(model.card.dataset.name, progress=False, **model.card.dataset.options)
        batches = list(task.eval_batches(data, "test"))

        @torch.inference_mode()
        def forward(
            model: Model = model, batches: list[Batch] = batches, text: bool = isinstance(task, CarriesState)
        ) -> None:
            state: Any = None
            for batch in batches:
                if text:
                    _, state, *_ = model.module(batch.inputs, None if batch.fresh else state)
                else:
                    model.module(batch.inputs)

        def evaluate(model: Model = model) -> None:
            model.evaluate("test", progress=False)

        ways = {"zoo": lambda do=evaluate: seconds(do), "forward": lambda do=forward: seconds(do)}
        times = in_turn(ways, rounds)
        yield median_of(name, "time of an evaluation", times["zoo"], "s")
        yield ratio_of(name, "beside forward passes", times["forward"], times["zoo"], "times as fast")


@benchmark(minutes=8, needs="CIFAR-10")
def views(*names: str, rounds: int = 3) -> Iterator[Row]:
    """Accuracy and time of evaluating with six views of all images, or only of those the model is unsure of.

    Each time is relative to an evaluation with one view, in turn.
    """
    ways: dict[str, dict[str, Any]] = {"one": {}}
    ways |= {
        f"six if the probability is below {below:g}": {"tta": True, "tta_below": below}
        for below in (0.5, 0.7, 0.9, 0.99)
    }
    ways["six"] = {"tta": True}
    for name in names or (NAME, "cifar10-airbench"):
        model, found = zoo.load(name, device="cpu", progress=False), dict[str, float]()
        if "accuracy" not in model.card.metrics.get("test", {}):
            raise OptionError(f"{name} has no test accuracy", hint="name weights of a classifier")
        evaluate = partial(_evaluate_into, found, model)
        times = in_turn({way: partial(evaluate, way, **more) for way, more in ways.items()}, rounds)
        for way, accuracy in found.items():
            yield Row(f"`{name}` | {way}", "accuracy", accuracy, "% accuracy", 10_000)
            yield ratio_of(f"`{name}` | {way}", "time", times[way], times["one"], "times as long")


def _evaluate_into(found: dict[str, float], model: Model, way: str, **options: Any) -> float:
    """Return the seconds of an evaluation, and keep its accuracy in percent."""

    def evaluate() -> None:
        found[way] = 100 * model.evaluate("test", progress=False, **options)["metrics"]["accuracy"]

    return seconds(evaluate)


@benchmark(minutes=4, needs="CIFAR-10")
def predicting_memory(*, most: int = 100_000) -> Iterator[Row]:
    """Peak memory of `zoo predict` for 1,000 and 100,000 images."""
    with tempfile.TemporaryDirectory() as name:
        files = sorted(map(str, images(Path(name, "png"), min(most, 10_000)).rglob("*.png")))
        for count in (1_000, most):
            listed = "\n".join((files * (count // len(files) + 1))[:count])
            out = Path(name, f"{count}.csv")
            done = child([ZOO, "predict", NAME, "-", "--out", out, "--quiet"], stdin=listed)
            yield Row(f"{count:,} images", "peak memory", done.mebibytes, "MiB")


@benchmark(minutes=10, needs="CIFAR-10")
def predicting_kills(*, kills: int = 50, count: int = 10_000) -> Iterator[Row]:
    """Tables of `zoo predict` that differ from the whole one after it was killed and resumed."""
    draws, killed, wrong, tables = random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, whole = images(folder / "png", count), folder / "whole.csv"
        command = [ZOO, "predict", NAME, str(files), "--quiet", "--out"]
        child([*command, whole])
        while killed < kills:
            out, finished = folder / f"killed-{tables}.csv", False
            while not finished:
                going = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL)
                try:
                    code = going.wait(draws.uniform(1, 6) if killed < kills else None)
                    assert code == 0, f"it ended with exit code {code}"
                    finished = True
                except subprocess.TimeoutExpired:
                    going.kill()
                    going.wait()
                    killed += 1
            tables += 1
            wrong += out.read_bytes() != whole.read_bytes()
    yield Row(f"{killed} kills", "tables that differ", wrong, "wrong", tables)
