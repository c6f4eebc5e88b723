"""Make the pictures and tables of docs/looking-inside.md.

python benchmarks/pictures.py [--out docs/pictures]

Takes about two minutes, and CIFAR-10 in $ZOO_DATA or the cache.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zoo import Recipe, Registry
from zoo.analysis import analyze
from zoo.analysis.render import overlay, png
from zoo.training.run import train

FAMILY = ("cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam", "eigen-cam")
HORSE = 17
"""Its number among the test images of CIFAR-10."""
RATES = (0.1, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    registry = Registry.discover()
    shapes(out, registry)
    family(out, registry)
    confusion(out, registry)
    activations(out, registry)
    for path in sorted(out.iterdir()):
        print(f"{path}  {path.stat().st_size:,} bytes")


def shapes(out: Path, registry: Registry) -> None:
    """Three shapes an image, and where the class was seen."""
    found = analyze("cam", "shapes-resnet20", registry, split="test", indices=[1, 4, 6])
    assert found.analysis.maps is not None
    rows = [overlay(found.inputs.image(n), found.analysis.maps[n], [found.items[n]]) for n in range(3)]
    keep(out / "shapes.png", stack(rows))


def family(out: Path, registry: Registry) -> None:
    """One image by every method, each named on the left."""
    rows: list[Image.Image] = []
    for method in FAMILY:
        found = analyze(method, "cifar10-resnet20", registry, split="test", indices=[HORSE])
        assert found.analysis.maps is not None
        row = overlay(found.inputs.image(0), found.analysis.maps[0], found.items).crop((8, 8, 704, 232))
        named = Image.new("RGB", (row.width // 2 + 90, row.height // 2), "white")
        named.paste(row.resize((row.width // 2, row.height // 2), Image.Resampling.LANCZOS), (90, 0))
        ImageDraw.Draw(named).text((4, 48), method, "black", ImageFont.load_default(14))
        rows.append(named)
    keep(out / "family.png", beside(stack(rows[:4]), stack(rows[4:])))


def confusion(out: Path, registry: Registry) -> None:
    """What cifar10-convnet-bn takes for what."""
    found = analyze("confusion", "cifar10-convnet-bn", registry, options={"pairs": 5})
    for name, draw in found.analysis.figures.items():
        (out / name).write_bytes(draw())


def activations(out: Path, registry: Registry) -> None:
    """With and without BatchNorm after two short epochs at two learning rates; prints the table."""
    print("| network | learning rate | validation accuracy | dead units, worst layer |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for lr in RATES:
            for name in ("convnet", "convnet-bn"):
                recipe = Recipe(
                    architecture=name,
                    dataset="cifar10",
                    data={"val_size": 45_000},
                    train={"epochs": 2, "lr": lr, "schedule": "constant", "batch_size": 64, "augment": []},
                )
                result = train(recipe, registry, directory=Path(folder) / f"{name}-{lr}")
                found = analyze("activations", result.weights, registry, split="test", indices=range(500))
                accuracy, dead = result.metrics["val"]["accuracy"], found.scores["most_dead"]
                print(f"| `{name}` | {lr} | {accuracy:.1%} | {dead:.0%} |")
                if lr == max(RATES):
                    (out / f"activations-{name}.png").write_bytes(found.analysis.figures["activations.png"]())


def stack(pictures: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def beside(one: Image.Image, other: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (one.width + other.width + 10, max(one.height, other.height)), "white")
    whole.paste(one, (0, 0))
    whole.paste(other, (one.width + 10, 0))
    return whole


def keep(path: Path, picture: Image.Image) -> None:
    path.write_bytes(png(picture))


if __name__ == "__main__":
    main()
