"""Make the pictures and tables of docs/looking-inside.md.

    python benchmarks/pictures.py [--out docs/pictures]

It takes about two minutes and requires CIFAR-10 in $ZOO_DATA or the cache.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import zoo
from zoo.analysis.render import overlay, png

FAMILY = ("cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam", "eigen-cam")
HORSE = 17
"""The index of a horse among the test images of CIFAR-10."""
RATES = (0.1, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures and tables of docs/looking-inside.md.")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    shapes(out)
    family(out)
    confusion(out)
    activations(out)
    for path in sorted(out.iterdir()):
        print(f"{path}  {path.stat().st_size:,} bytes")


def shapes(out: Path) -> None:
    """Draw where the model sees the class in three images of several shapes."""
    findings = zoo.load("shapes-resnet20", device="cpu").analyze("cam", split="test", indices=[1, 4, 6])
    assert findings.analysis.maps is not None
    rows = [
        overlay(findings.inputs.image(n), findings.analysis.maps[n], [item])
        for n, item in enumerate(findings.items)
    ]
    keep(out / "shapes.png", stack(rows))


def family(out: Path) -> None:
    """Draw one image by every method, with the method's name on the left."""
    model = zoo.load("cifar10-resnet20", device="cpu")
    rows: list[Image.Image] = []
    for method in FAMILY:
        findings = model.analyze(method, split="test", indices=[HORSE])
        assert findings.analysis.maps is not None
        row = overlay(findings.inputs.image(0), findings.analysis.maps[0], findings.items)
        row = row.crop((8, 8, 704, 232))
        named = Image.new("RGB", (row.width // 2 + 90, row.height // 2), "white")
        named.paste(row.resize((row.width // 2, row.height // 2), Image.Resampling.LANCZOS), (90, 0))
        ImageDraw.Draw(named).text((4, 48), method, "black", ImageFont.load_default(14))
        rows.append(named)
    keep(out / "family.png", beside(stack(rows[:4]), stack(rows[4:])))


def confusion(out: Path) -> None:
    """Draw which classes cifar10-convnet-bn confuses."""
    findings = zoo.load("cifar10-convnet-bn", device="cpu").analyze("confusion", options={"pairs": 5})
    for name, draw in findings.analysis.figures.items():
        (out / name).write_bytes(draw())


def activations(out: Path) -> None:
    """Train two short epochs with and without BatchNorm, at two learning rates; print the table."""
    print("| network | learning rate | validation accuracy | dead units, worst layer |\n|---|---|---|---|")
    fields = {"epochs": 2, "schedule": "constant", "batch_size": 64, "augment": []}
    with tempfile.TemporaryDirectory() as folder:
        for lr in RATES:
            for name in ("convnet", "convnet-bn"):
                where = Path(folder) / f"{name}-{lr}"
                run = zoo.train(
                    name, "cifar10", data={"val_size": 45_000}, run=where, device="cpu", lr=lr, **fields
                )
                findings = run.model.analyze("activations", split="test", indices=range(500))
                accuracy, dead = run.result.metrics["val"]["accuracy"], findings.scores["most_dead"]
                print(f"| `{name}` | {lr} | {accuracy:.1%} | {dead:.0%} |")
                if lr == max(RATES):
                    draw = findings.analysis.figures["activations.png"]
                    (out / f"activations-{name}.png").write_bytes(draw())


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
