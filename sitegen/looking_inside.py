"""Make the images of docs/explanation/looking-inside.md.

    OMP_NUM_THREADS=1 python -m sitegen.looking_inside [--out docs/images]

It takes about four minutes and requires CIFAR-10 in $ZOO_DATA or the cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

import zoo
from benchmarks.looking_inside import batchnorm_trainings
from zoo.analysis.render import SMALLEST, grid, resized
from zoo.analysis.sheets import png

FAMILY = ("cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam", "eigen-cam")
HORSE = 17
"""The index of a horse among the test images of CIFAR-10."""
FROG = 112
"""The index of a frog that cifar10-resnet20 calls a bird."""
AIRLINER = 3
"""The index of a book about airliners, which the training images have, too."""


def main() -> None:
    """Write the images."""
    parser = argparse.ArgumentParser(description="Make the images of docs/explanation/looking-inside.md.")
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
    """Draw a frog and a book about airliners beside the training images that are nearest to them."""
    model, options = zoo.load("cifar10-resnet20", device="cpu"), {"count": 6}
    findings = model.analyze("neighbors", split="test", indices=[FROG, AIRLINER], options=options)
    (out / "neighbors.png").write_bytes(findings.analysis.figures["neighbors.png"]())


def activations(out: Path) -> None:
    """Draw the activations of a network with and without BatchNorm, trained at the larger learning rate."""
    names = {"none | 0.3": "none", "BatchNorm | 0.3": "batchnorm"}
    for case, _, findings in batchnorm_trainings():
        if case in names:
            draw = findings.analysis.figures["activations.png"]
            (out / f"activations-norm-{names[case]}.png").write_bytes(draw())


def keep(path: Path, image: Image.Image) -> None:
    """Write an image."""
    path.write_bytes(png(image))


if __name__ == "__main__":
    main()
