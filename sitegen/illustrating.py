"""Draw the gallery's images of datasets and analyzers that need no download, and the example images.

    python -m sitegen.illustrating

An image of the gallery is written to `docs/images/entries/KIND-NAME.png`. The example images,
`examples/shapes/CLASS.jpg`, are the first image of each class in the test split of `shapes-resnet20`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import zoo
from sitegen.entries import IMAGES
from sitegen.places import ROOT

# Analyzers that draw heat maps, each on the same images, and the options of those that need some
HEAT_MAPS = ("cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam", "eigen-cam")
DATASETS = ("shapes", "scenes")
ITEMS = "1,4,6,7"
# Pixels of a sheet's width, pixels of a side of an image of a dataset, and images in a row
WIDTH, SIDE, COLUMNS = 640, 96, 6


def main() -> None:
    """Draw all images."""
    (ROOT / "docs" / IMAGES).mkdir(parents=True, exist_ok=True)
    for name in HEAT_MAPS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "zoo", "analyze", name, "shapes-resnet20", "--split", "test"]
            command += ["--indices", ITEMS, "--quiet", "--out", f"{folder}/out"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            sheet = Image.open(Path(folder, "out", "contact-sheet.png")).convert("RGB")
            _save(sheet, "analyzer", name)
    for name in DATASETS:
        items = zoo.open_dataset(name, size=64).split("test")
        sheet = Image.new("RGB", (COLUMNS * SIDE, 2 * SIDE))
        for number in range(2 * COLUMNS):
            pixels = items[number][0].permute(1, 2, 0).numpy()  # (H, W, C)
            tile = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(tile, (number % COLUMNS * SIDE, number // COLUMNS * SIDE))
        _save(sheet, "dataset", name)
    _draw_examples(ROOT / "examples" / "shapes")


def _draw_examples(folder: Path) -> None:
    model = zoo.load("shapes-resnet20", progress=False)
    shapes = zoo.open_dataset("shapes", **model.card.dataset.options, progress=False).split("test")
    for pixels, label in [shapes[number] for number in range(len(model.classes))]:  # the classes alternate
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        image.save(folder / f"{model.classes[label]}.jpg", quality=95, subsampling=0)


def _save(sheet: Image.Image, kind: str, name: str) -> None:
    sheet.thumbnail((WIDTH, sheet.height))
    sheet.quantize(128).save(ROOT / "docs" / IMAGES / f"{kind}-{name}.png", optimize=True)
    print(kind, name, flush=True)


if __name__ == "__main__":
    main()
