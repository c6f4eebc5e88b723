"""Use each of the published weights for its page in the gallery, and draw what each reaches.

    python -m sitegen.uses [cifar10-resnet20 ...]

It requires the real data in $ZOO_DATA or the cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from matplotlib.ticker import EngFormatter
from PIL import Image

from tests.docs.weights_page import IMAGES, TITLES, USES, Published, by_dataset, use
from zoo.files import style
from zoo.registry.registry import Registry

# Inches of a chart, and most pixels of a sheet's width
WIDTH, HEIGHT, SHEET = 7, 3.4, 720
# Rows of a confusion table that are shown
ROWS = 4


def main() -> None:
    """Use the weights that the command line names."""
    parser = argparse.ArgumentParser(description="Use published weights for the page of them.")
    parser.add_argument("names", nargs="*", help="Use only these.")
    names = parser.parse_args().names
    USES.mkdir(parents=True, exist_ok=True)
    for dataset, published in by_dataset(Registry.discover()).items():
        for name in published:
            if not names or name in names:
                show(name)
                print(name, flush=True)
        if len(published) > 2:
            draw(dataset, published)


def show(name: str) -> None:
    """Write what a command with some weights prints, or the image that it draws."""
    command = use(name)
    if command[1:3] == ["analyze", "grad-cam"]:
        with tempfile.TemporaryDirectory() as folder:
            run([*command, "--out", f"{folder}/out"])
            save(Path(folder, "out", "contact-sheet.png"), USES / f"{name}.png")
        return
    with tempfile.TemporaryDirectory() as folder:
        confusion = command[1] == "analyze"
        printed = run([*command, "--out", f"{folder}/out"] if confusion else command)
        if confusion:
            save(Path(folder, "out", "confusion.png"), USES / f"{name}.png")
    if confusion:
        pairs = printed.partition("\n\n")[2].split("\n\n")[0].splitlines()
        printed = "\n".join(["...", *pairs[: ROWS + 1], "..."])
    (USES / f"{name}.txt").write_text(printed, encoding="utf-8")


def save(drawn: Path, image: Path) -> None:
    """Save what an analyzer has drawn, no wider than `SHEET` and with 128 colors."""
    sheet = Image.open(drawn).convert("RGB")
    sheet.thumbnail((SHEET, sheet.height))
    sheet.quantize(128).save(image, optimize=True)


def run(command: list[str]) -> str:
    """Return what a command prints on stdout."""
    done = subprocess.run([sys.executable, "-m", *command], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def draw(dataset: str, published: Published) -> None:
    """Draw the primary metric of some weights against their parameters."""
    _, _, task = next(iter(published.values()))
    unit = task.units.get(task.primary_metric, "")
    title = f"{TITLES[dataset]}: {task.primary_metric}{f' ({unit})' if unit else ''} by number of parameters"
    figure = style.figure(WIDTH, HEIGHT, title=title)
    axes = figure.add_subplot()
    names = defaultdict[int, dict[float, str]](dict)
    for name, (spec, _, _) in published.items():
        value = [*spec.metrics.values()][-1][task.primary_metric] * (100 if unit == "%" else 1)
        axes.plot(spec.params, value, "o", color=style.BLUE)
        names[spec.params][value] = name.removeprefix(f"{dataset.rpartition('/')[2]}-")
    for params, labels in names.items():  # of one size, in one line: their points may be close
        top, place = max(labels), {"xytext": (6, 4), "textcoords": "offset points"}
        label = ", ".join(labels[value] for value in sorted(labels, reverse=True))
        axes.annotate(label, (params, top), **place, fontsize=style.SMALL, color=style.INK)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.2, y=0.15)
    style.tidy(axes)
    (IMAGES / f"weights-{dataset.rpartition('/')[2]}.png").write_bytes(style.png(figure))


if __name__ == "__main__":
    main()
