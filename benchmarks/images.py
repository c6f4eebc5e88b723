"""Make the images and tables of docs/explanation/looking-inside.md.

    OMP_NUM_THREADS=1 python benchmarks/images.py [--out docs/images]

It takes about four minutes and requires CIFAR-10 in $ZOO_DATA or the cache. The figures of the table depend
on the number of threads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

import zoo
from zoo.analysis.render import SMALLEST, grid, resized
from zoo.analysis.sheets import png

FAMILY = ("cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam", "eigen-cam")
HORSE = 17
"""The index of a horse among the test images of CIFAR-10."""
AIRLINER = 3
"""The index of a book about airliners, which the training images have, too."""
RATES = (0.1, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make the images and tables of docs/explanation/looking-inside.md."
    )
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    shapes(out)
    family(out)
    confusion(out)
    neighbors(out)
    activations(out)
    for path in sorted(out.iterdir()):
        print(f"{path}  {path.stat().st_size:,} bytes")


def shapes(out: Path) -> None:
    """Draw where the model sees the class in four images of several shapes."""
    findings = zoo.load("shapes-resnet20", device="cpu").analyze("cam", split="test", indices=[1, 4, 6, 7])
    keep(out / "shapes.png", findings.sheet(side=SMALLEST))


def family(out: Path) -> None:
    """Draw one image, and its overlay by every method."""
    model = zoo.load("cifar10-resnet20", device="cpu")
    found = {method: model.analyze(method, split="test", indices=[HORSE]) for method in FAMILY}
    image = resized(found["cam"].inputs.image(0, at_most=SMALLEST), SMALLEST)
    tiles = [image, *(findings.overlay(0) for findings in found.values())]
    keep(out / "family.png", grid(tiles, [("the image",), *((method,) for method in FAMILY)]))


def confusion(out: Path) -> None:
    """Draw which classes cifar10-convnet-bn confuses."""
    findings = zoo.load("cifar10-convnet-bn", device="cpu").analyze("confusion", options={"pairs": 5})
    for name, draw in findings.analysis.figures.items():
        (out / name).write_bytes(draw())


def neighbors(out: Path) -> None:
    """Draw a cat and a book about airliners beside the training images that are nearest to them."""
    model, options = zoo.load("cifar10-resnet20", device="cpu"), {"count": 6}
    findings = model.analyze("neighbors", split="test", indices=[0, AIRLINER], options=options)
    (out / "neighbors.png").write_bytes(findings.analysis.figures["neighbors.png"]())


def activations(out: Path) -> None:
    """Train one network with and without BatchNorm, at two learning rates; print the table."""
    print(
        "| normalization | learning rate | validation accuracy | dead units, worst layer |\n|---|---|---|---|"
    )
    fields = {"epochs": 2, "schedule": "constant", "batch_size": 64, "augment": []}
    with tempfile.TemporaryDirectory() as folder:
        for lr in RATES:
            for norm in ("none", "batchnorm"):
                run = zoo.train(
                    "convnet-bn",
                    "cifar10",
                    model={"norm": norm},
                    data={"val_size": 45_000},
                    run=Path(folder) / f"lr-{lr}" / f"norm-{norm}",
                    device="cpu",
                    lr=lr,
                    **fields,
                )
                findings = run.model.analyze("activations", split="test", indices=range(500))
                accuracy, dead = run.result.metrics["val"]["accuracy"], findings.scores["most_dead"]
                print(f"| `{norm}` | {lr} | {accuracy:.1%} | {dead:.0%} |", flush=True)
                if lr == max(RATES):
                    draw = findings.analysis.figures["activations.png"]
                    (out / f"activations-norm-{norm}.png").write_bytes(draw())


def keep(path: Path, image: Image.Image) -> None:
    path.write_bytes(png(image))


if __name__ == "__main__":
    main()
