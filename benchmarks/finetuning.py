"""Do the defaults train? Fine-tuning on 3 x 70 drawn images, and a few epochs from random weights.

Two sets of images of differing sizes: in `colors` the color of the object tells the class and its form is
random; in `forms` the form tells it, and colors and clutter are random. Accuracy is measured on 200 more.

    python benchmarks/finetuning.py             # against a grid, and a linear head on frozen features
    python benchmarks/finetuning.py --scratch   # every image architecture, 3 epochs from random weights

The best of the grid, and the regularization of the linear head, are chosen on the 200 images themselves. A
result is better or worse than a random baseline if the 95% intervals of accuracy and loss say so.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.data.opening import open_dataset, open_fed
from zoo.data.views import View
from zoo.interfaces import Split, make_task

CLASSES = {"colors": ("lime", "orange", "plum"), "forms": ("cross", "disc", "triangle")}
HUES = {"lime": 75, "orange": 28, "plum": 290}
WEIGHTS = {"cifar10-convnet-bn": "convnet-bn", "cifar10-resnet20": "resnet20"}
RATES, BATCHES, EPOCHS = (0.005, 0.02, 0.08), (8, 32), (10, 30)
SEEDS = (0, 1, 2)


def draw(label: str, random: random.Random) -> Image.Image:
    """Return an image of one object of a class over a background with clutter."""
    width, height = random.randint(40, 200), random.randint(40, 200)
    image = Image.new("RGB", (width, height), color(random))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        ends = [(random.randrange(width), random.randrange(height)) for _ in range(2)]
        pen.line(ends, fill=color(random), width=random.randint(1, 3))
    side = min(width, height)
    half = random.uniform(0.2, 0.4) * side
    x, y = (edge / 2 + random.uniform(-1, 1) * (side / 2 - half) for edge in (width, height))
    form = label if label in CLASSES["forms"] else random.choice(CLASSES["forms"])
    paint = color(random, hue=HUES.get(label))
    if form == "disc":
        pen.ellipse((x - half, y - half, x + half, y + half), fill=paint)
    elif form == "triangle":
        pen.polygon([(x, y - half), (x + half, y + half), (x - half, y + half)], fill=paint)
    else:
        pen.rectangle((x - half, y - half / 3, x + half, y + half / 3), fill=paint)
        pen.rectangle((x - half / 3, y - half, x + half / 3, y + half), fill=paint)
    return image


def color(random: random.Random, *, hue: float | None = None) -> str:
    """Return a color, any or one of about a hue."""
    if hue is None:
        return f"hsl({random.randrange(360)}, {random.randint(20, 90)}%, {random.randint(15, 85)}%)"
    return f"hsl({hue + random.randint(-12, 12)}, {random.randint(50, 90)}%, {random.randint(35, 65)}%)"


def draw_folder(root: Path, classes: Sequence[str], counts: Sequence[int], *, seed: int) -> str:
    """Draw so many images of each class into class folders; return the root."""
    for label, count in zip(classes, counts, strict=True):
        (root / label).mkdir(parents=True)
        for number in range(count):
            draw(label, random.Random(f"{seed} {label} {number}")).save(root / label / f"{number:03}.png")
    return str(root)


class Trainings:
    """Trains in a temporary folder, on images that it draws first."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.registry = zoo.Registry.discover()
        self.roots = {name: draw_folder(home / name, c, (70,) * 3, seed=0) for name, c in CLASSES.items()}
        self.held = {
            name: {
                "root": draw_folder(home / f"{name}-held", c, (67, 67, 66), seed=1),
                "val_share": 0.0,
                "test_share": 0.0,
            }
            for name, c in CLASSES.items()
        }
        self.count = 0

    def train(self, architecture: str, images: str, **options: Any) -> tuple[zoo.Run, dict[str, float]]:
        """Return a run and its metrics: on the images held out, or on the val split of `shapes`."""
        self.count += 1
        chosen: dict[str, Any] = {
            "run": self.home / str(self.count),
            "progress": False,
            "registry": self.registry,
            **options,
        }
        if images == "shapes":
            run = zoo.train(architecture, "shapes", **chosen)
            return run, judged(run.model, "val")
        own = {"root": self.roots[images], **chosen.pop("data", {})}
        run = zoo.train(architecture, "folder", data=own, **chosen)
        return run, judged(run.model, "train", data=self.held[images])

    def linear_head(self, weights: str, images: str) -> float:
        """Return the accuracy of logistic regression on the inputs of the weights' last layer."""
        model = zoo.load(weights, registry=self.registry)
        head = self.registry.architecture(model.card.architecture).spec.landmarks["head"]
        size = model.card.arguments["image_size"]
        entry, task = self.registry.dataset("folder"), make_task(self.registry, model.card.task)
        own = open_dataset(entry, {"root": self.roots[images], "size": size})
        held = open_dataset(entry, {**self.held[images], "size": size})
        seen: list[Tensor] = []
        model.module.get_submodule(head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

        def features(dataset: Any, preprocess: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
            view = View(dims=own.dims, preprocess=preprocess, split=dataset.split, fingerprint="")
            seen.clear()
            labels: list[Tensor] = []
            with torch.no_grad():
                for batch in task.eval_batches(view, "train"):
                    model.module(batch.inputs)
                    labels.append(batch.targets)
            return torch.cat(seen), torch.cat(labels)

        train, test = features(own, own.preprocess), features(held, own.preprocess)
        return max(logistic_regression(train, test, decay) for decay in (1e-4, 1e-3, 1e-2, 1e-1))


def judged(model: zoo.Model, split: Split, **options: Any) -> dict[str, float]:
    """Return accuracy and loss on a split, and the half width of a 95% interval of each."""
    task = make_task(model.registry, model.card.task)  # pyright: ignore[reportPrivateUsage]
    _, dataset = open_fed(model.card, task, model.registry, **options)  # pyright: ignore[reportPrivateUsage]
    losses: list[Tensor] = []
    right: list[Tensor] = []
    with torch.no_grad():
        for batch in task.eval_batches(dataset, split):
            logits = model.module(batch.inputs)
            losses.append(F.cross_entropy(logits, batch.targets, reduction="none"))
            right.append((logits.argmax(1) == batch.targets).float())
    loss, accuracy = torch.cat(losses), torch.cat(right)
    spread = 1.96 / len(loss) ** 0.5
    return {
        "accuracy": float(accuracy.mean()),
        "loss": float(loss.mean()),
        "accuracy_interval": spread * float(accuracy.std()),
        "loss_interval": spread * float(loss.std()),
    }


def logistic_regression(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], decay: float) -> float:
    """Return the accuracy on (features (N, F), labels (N,)) of a linear layer fitted to others."""
    (x, y), (test_x, test_y) = train, test
    mean, std = x.mean(0), x.std(0) + 1e-6
    layer = nn.Linear(x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer((x - mean) / std), y) + decay * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    return float((layer((test_x - mean) / std).argmax(1) == test_y).float().mean())


def fine_tuning(trainings: Trainings, weights: str, images: str) -> None:
    """Print a row for the defaults, one for each point of the grid, and a verdict."""

    def row(options: str, figures: Sequence[float]) -> float:
        mean, by_seed = statistics.mean(figures), ", ".join(f"{figure:.3f}" for figure in figures)
        print(f"| `{weights}` | {images} | {options} | {mean:.3f} | {by_seed} |", flush=True)
        return mean

    def accuracies(**options: Any) -> list[float]:
        runs = [
            trainings.train(WEIGHTS[weights], images, from_weights=weights, seed=seed, **options)
            for seed in SEEDS
        ]
        return [metrics["accuracy"] for _, metrics in runs]

    default = row("defaults", accuracies())
    row("`size=32`", accuracies(data={"size": 32}))
    row("linear head on frozen features", [trainings.linear_head(weights, images)])
    grid = [
        row(
            f"`lr={lr} batch_size={batch} epochs={epochs}`",
            accuracies(lr=lr, batch_size=batch, epochs=epochs),
        )
        for lr, batch, epochs in itertools.product(RATES, BATCHES, EPOCHS)
    ]
    row("points by which the best of the grid is better", [100 * (max(grid) - default)])


def from_scratch(trainings: Trainings, architectures: Sequence[str]) -> None:
    """Print a row for each architecture and set of images."""
    heads = ("network", "images", "accuracy by seed", "loss by seed", "baseline", "better", "worse")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for architecture, images in itertools.product(architectures, ("colors", "forms", "shapes")):
        runs = [trainings.train(architecture, images, epochs=3, seed=seed) for seed in SEEDS]
        baseline = runs[0][0].result.baseline
        signs = [sign(metrics, baseline) for _, metrics in runs]
        accuracy, loss = (", ".join(f"{m[name]:.3f}" for _, m in runs) for name in ("accuracy", "loss"))
        cells = (
            f"`{architecture}`",
            images,
            accuracy,
            loss,
            f"{baseline['accuracy']:.3f}, {baseline['loss']:.3f}",
        )
        print(f"| {' | '.join(cells)} | {signs.count(1)} | {signs.count(-1)} |", flush=True)


def sign(metrics: Mapping[str, float], baseline: Mapping[str, float]) -> int:
    """Return 1 for metrics better than a random baseline, -1 for worse, 0 where an interval includes it."""
    gains = {
        "accuracy": metrics["accuracy"] - baseline["accuracy"],
        "loss": baseline["loss"] - metrics["loss"],
    }
    if any(gain < -metrics[f"{name}_interval"] for name, gain in gains.items()):
        return -1
    return int(all(gain > metrics[f"{name}_interval"] for name, gain in gains.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare default training options with a grid of others.")
    parser.add_argument("--scratch", action="store_true", help="Train from random weights instead.")
    parser.add_argument("names", nargs="*", help="These weights only, or with --scratch these architectures.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", zoo.ZooWarning)
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(Path(folder))
        if options.scratch:
            entries = trainings.registry.entries("architecture")
            classifiers = [e.name for e in entries if e.plugin.ours and e.tasks == ("classification",)]
            from_scratch(trainings, options.names or classifiers)
        else:
            print(f"| weights | images | options | accuracy | by seed |\n|{'---|' * 5}", flush=True)
            for weights, images in itertools.product(options.names or WEIGHTS, CLASSES):
                fine_tuning(trainings, weights, images)


if __name__ == "__main__":
    main()
