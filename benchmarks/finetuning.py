"""Fine-tuning with default options, compared with a grid of others, on few images of several kinds."""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from benchmarks.measuring import benchmark, chosen, mean_of
from benchmarks.rows import Row
from zoo_images.mnist import fashion_mnist

SEEDS = (0, 1, 2)
CLASSES = {"color": ("lime", "orange", "plum"), "shape": ("cross", "disc", "triangle")}
HUES = {"lime": 75, "orange": 28, "plum": 290}
STARTS = {"cifar10-convnet-bn": "convnet-bn", "cifar10-resnet20": "resnet20"}
GRID = [*itertools.product((0.005, 0.02, 0.08), (8, 32), (10, 30))]
# Weights to start from on Fashion-MNIST, all layers but the last, and learning rates to try
SUBSETS = {
    "fashion-mnist-convnet-bn": ("convnet-bn", ("stem", "stages"), (0.0003, 0.002, 0.01)),
    "cifar10-resnet20": ("resnet20", ("conv", "norm", "stages"), (0.02, 0.06, 0.2)),
}
# Names of Fashion-MNIST's classes in another order and spelled otherwise
SPELLED = (
    "T-shirt_top", "trouser", "Pull over", "dress", "coat", "SANDAL", "shirt", "sneaker", "bag", "ankle_boot",
)  # fmt: skip


@benchmark(minutes=60)
def finetuning(*weights: str) -> Iterator[Row]:
    """Accuracy after fine-tuning with defaults, the best of 12 other combinations, and a linear layer.

    Three classes of 70 drawn images, which differ in color or in shape; all else is random. Accuracy is that
    of 200 more images. The best of the grid, and the regularization of the linear layer, are chosen on these.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        trainings = Drawn(Path(name))
        for start, kind in itertools.product(chosen(weights, STARTS), CLASSES):
            case, base = f"`{start}` | {kind}", {"from_weights": start}
            yield mean_of(case, "defaults", trainings.over_seeds(STARTS[start], kind, **base), "% accuracy")
            found = {
                f"lr={lr} batch_size={batch} epochs={epochs}": trainings.over_seeds(
                    STARTS[start], kind, lr=lr, batch_size=batch, epochs=epochs, **base
                )
                for lr, batch, epochs in GRID
            }
            best = max(found, key=lambda options: statistics.mean(found[options]))
            yield mean_of(case, "best of 12", found[best], "% accuracy")
            yield Row(case, "linear layer", trainings.linear(start, kind), "% accuracy", 200)


@benchmark(minutes=30)
def from_scratch(*architectures: str) -> Iterator[Row]:
    """Accuracy and loss of image architectures after 3 epochs on drawn images, beside a baseline."""
    torch.set_num_threads(1)
    entries = zoo.Registry.discover().entries("architecture")
    ours = [entry.name for entry in entries if entry.plugin.ours and entry.tasks == ("classification",)]
    with tempfile.TemporaryDirectory() as name:
        trainings = Drawn(Path(name))
        for architecture, kind in itertools.product(architectures or ours, CLASSES):
            runs = [trainings.train(architecture, kind, epochs=3, seed=seed) for seed in SEEDS]
            found = [trainings.judged(run, kind) for run in runs]
            baseline = runs[0].result.baseline
            better = sum(
                each["intervals"]["accuracy"][0] > baseline["accuracy"]
                and each["intervals"]["loss"][1] < baseline["loss"]
                for each in found
            )
            for metric, scale, unit in (("accuracy", 100, "% accuracy"), ("loss", 1, "nats")):
                values = [scale * each["metrics"][metric] for each in found]
                yield mean_of(f"{architecture}, {kind}", metric, values, unit)
            yield Row(f"{architecture}, {kind}", "better than the baseline", better, "right", len(SEEDS))


class Drawn:
    """Trains in a temporary folder, on images that it draws first."""

    def __init__(self, home: Path) -> None:
        self.home, self.count = home, 0
        for kind, classes in CLASSES.items():
            draw_folder(home / kind, classes, (70, 70, 70), seed=0)
            draw_folder(home / f"{kind}-held", classes, (67, 67, 66), seed=1)

    def train(self, architecture: str, kind: str, **options: Any) -> zoo.Run:
        self.count += 1
        given: dict[str, Any] = {"run": self.home / f"run-{self.count}", "progress": False, **options}
        return zoo.train(architecture, "folder", data={"root": str(self.home / kind)}, **given)

    def judged(self, run: zoo.Run, kind: str) -> dict[str, Any]:
        """Return metrics and intervals on the images held out."""
        return run.model.evaluate("train", dataset="folder", data=self.held(kind), progress=False)

    def held(self, kind: str) -> dict[str, Any]:
        """Return the options of the images held out."""
        return {"root": str(self.home / f"{kind}-held"), "val_share": 0.0, "test_share": 0.0}

    def over_seeds(self, architecture: str, kind: str, **options: Any) -> list[float]:
        """Return the accuracy of each seed, in percent."""
        runs = [self.train(architecture, kind, seed=seed, **options) for seed in SEEDS]
        return [100 * self.judged(run, kind)["metrics"]["accuracy"] for run in runs]

    def linear(self, weights: str, kind: str) -> float:
        """Return the accuracy of logistic regression on the inputs of the last layer, in percent."""
        model = zoo.load(weights, progress=False)
        train = _inputs_of_head(model, {"root": str(self.home / kind)})
        test = _inputs_of_head(model, self.held(kind))
        return 100 * max(_logistic_regression(train, test, decay) for decay in (1e-4, 1e-3, 1e-2, 1e-1))


def _logistic_regression(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], decay: float) -> float:
    """Return the accuracy on (features (N, F), labels (N,)) of a linear layer fitted to others."""
    (x, y), (test_x, test_y) = train, test
    mean, std = x.mean(0), x.std(0) + 1e-6
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer((x - mean) / std), y) + decay * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    return float((layer((test_x - mean) / std).argmax(1) == test_y).float().mean())


@torch.no_grad()
def _inputs_of_head(model: zoo.Model, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return what the last layer reads for the training images of a folder, (N, F), and their labels."""
    landmarks = zoo.Registry.discover().architecture(model.card.architecture).spec.landmarks
    data = zoo.open_dataset("folder", size=model.card.arguments["image_size"], **options)
    split = data.split("train")
    items, seen = [split[number] for number in range(len(split))], list[torch.Tensor]()
    mean, std = (torch.tensor(data.preprocess[name])[:, None, None] for name in ("mean", "std"))
    head = model.module.get_submodule(landmarks["head"])
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.module((torch.stack([image for image, _ in items]) / 255 - mean) / std)
    hook.remove()
    return seen[0], torch.tensor([label for _, label in items])


def draw_folder(root: Path, classes: Sequence[str], counts: Sequence[int], *, seed: int) -> None:
    """Draw so many images of each class into class folders."""
    for label, count in zip(classes, counts, strict=True):
        (root / label).mkdir(parents=True)
        for number in range(count):
            draw(label, random.Random(f"{seed} {label} {number}")).save(root / label / f"{number:03}.png")


def draw(label: str, random: random.Random) -> Image.Image:
    """Return an image of one object of a class over a background with clutter."""
    width, height = random.randint(40, 200), random.randint(40, 200)
    image = Image.new("RGB", (width, height), _color(random))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        ends = [(random.randrange(width), random.randrange(height)) for _ in range(2)]
        pen.line(ends, fill=_color(random), width=random.randint(1, 3))
    side = min(width, height)
    half = random.uniform(0.2, 0.4) * side
    x, y = (edge / 2 + random.uniform(-1, 1) * (side / 2 - half) for edge in (width, height))
    form = label if label in CLASSES["shape"] else random.choice(CLASSES["shape"])
    paint = _color(random, hue=HUES.get(label))
    if form == "disc":
        pen.ellipse((x - half, y - half, x + half, y + half), fill=paint)
    elif form == "triangle":
        pen.polygon([(x, y - half), (x + half, y + half), (x - half, y + half)], fill=paint)
    else:
        pen.rectangle((x - half, y - half / 3, x + half, y + half / 3), fill=paint)
        pen.rectangle((x - half / 3, y - half, x + half / 3, y + half), fill=paint)
    return image


def _color(random: random.Random, *, hue: float | None = None) -> str:
    """Return a color, any or one of about a hue."""
    if hue is None:
        return f"hsl({random.randrange(360)}, {random.randint(20, 90)}%, {random.randint(15, 85)}%)"
    return f"hsl({hue + random.randint(-12, 12)}, {random.randint(50, 90)}%, {random.randint(35, 65)}%)"


@benchmark(minutes=120, needs="Fashion-MNIST")
def finetuning_subsets(
    *weights: str, sizes: tuple[int, ...] = (300, 1_000, 3_000), test: int = 10_000, known: bool = False
) -> Iterator[Row]:
    """Accuracy after fine-tuning on subsets of Fashion-MNIST with defaults, and with the best of 6 choices.

    `fashion-mnist-convnet-bn` was trained on all training images, so a few of them can only make it forget;
    `cifar10-resnet20` has seen photos of other things. The classes have names that the weights do not know,
    or with `--known` those that they do. The grid is learning rates, each for all layers and for the last
    layer alone, with one seed; the best of it is chosen on the test images themselves.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        count = itertools.count()
        for start, size in itertools.product(chosen(weights, SUBSETS), sizes):
            architecture, below, rates = SUBSETS[start]
            like: dict[str, Any] = {"size": 32, "channels": 3} if "cifar10" in start else {}
            data = fashion_mnist(val_size=0, **like)

            def part(split: Literal["train", "test"], number: int, data: Any = data) -> tuple[Any, Any]:
                items, names = data.split(split), data.preprocess["classes"]
                given = names if known else [f"class {each}" for each in range(len(names))]
                return np.asarray(items.images[:number]), np.asarray(given)[np.asarray(items.labels[:number])]

            splits = {"train": part("train", size), "test": part("test", test)}

            def accuracy(
                architecture: str = architecture, splits: Any = splits, start: str = start, **options: Any
            ) -> float:
                where: dict[str, Any] = {"run": Path(name, str(next(count))), "progress": False}
                run = zoo.train(architecture, splits, from_weights=start, **where, **options)
                return 100 * run.result.metrics["test"]["accuracy"]

            case = f"`{start}` | {'known' if known else 'new'} | {size:,}"
            yield mean_of(case, "defaults", [accuracy(seed=seed) for seed in SEEDS], "% accuracy")
            grid = {
                (lr, alone): accuracy(lr=lr, freeze=below if alone else (), epochs=16)
                for lr, alone in itertools.product(rates, (False, True))
            }
            yield Row(case, "best of 6", max(grid.values()), "% accuracy")
            last = max(value for (_, alone), value in grid.items() if alone)
            yield Row(case, "best of the last layer alone", last, "% accuracy")


@benchmark(minutes=20, needs="Fashion-MNIST")
def finetuning_folders(*, test: int = 10_000) -> Iterator[Row]:
    """Accuracy after fine-tuning on class folders whose names are in another order and spelled otherwise.

    1,000 images of Fashion-MNIST, from weights that know its classes; in the last case, one class has a name
    that they do not know.
    """
    torch.set_num_threads(1)
    start = "fashion-mnist-convnet-bn"
    data = zoo.open_dataset("fashion-mnist", val_size=0, progress=False)

    def write(split: Any, count: int, root: Path, names: Sequence[str]) -> dict[str, str]:
        for number in range(count):
            home = root / names[int(split.labels[number])]
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(split.images[number, 0].numpy()).save(home / f"{number}.png")
        return {"root": str(root)}

    def accuracy(weights: str | Path, held: dict[str, str]) -> float:
        found = zoo.load(weights, progress=False).evaluate(dataset="folder", data=held, progress=False)
        return 100 * found["metrics"]["accuracy"]

    with tempfile.TemporaryDirectory() as name:
        known = write(data.split("test"), test, Path(name, "known"), SPELLED)
        yield Row("published weights", "accuracy", accuracy(start, known), "% accuracy", test)
        for case, first in (("all classes known", SPELLED[0]), ("one class new", "T-shirt")):
            place, names = Path(name, case), (first, *SPELLED[1:])
            train = write(data.split("train"), 1_000, place / "train", names)
            held = write(data.split("test"), test, place / "test", names)
            values: list[float] = []
            for seed in SEEDS:
                options: dict[str, Any] = {"from_weights": start, "seed": seed, "progress": False}
                given = {**train, "test_share": 0.0}
                run = zoo.train("convnet-bn", "folder", data=given, run=place / f"run-{seed}", **options)
                values.append(accuracy(run.directory, held))
            yield mean_of(case, "accuracy", values, "% accuracy")
