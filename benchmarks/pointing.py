"""The pointing game: how often the highest place of a map lies on an object of the class.

python benchmarks/pointing.py [WEIGHTS ...] [--analyzers cam grad-cam]

Weights are of models trained on images/shapes, whose test images know their boxes; maps are of the true
class.
Beside them stand the middle of the image, which takes no map, and the same network with random weights.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from zoo import Registry
from zoo.analysis import analyze
from zoo.analysis.faithfulness import box_scores
from zoo.models import weights
from zoo.models.building import build_model
from zoo.registry.catalog import Catalog


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", nargs="*", default=["shapes-resnet20"])
    parser.add_argument("--analyzers", nargs="*", default=["cam", "grad-cam"])
    options = parser.parse_args()
    print("| weights | analyzer | images | hits | middle of the image | random weights | box IoU |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in options.weights:
        for analyzer in options.analyzers:
            print(row(name, analyzer), flush=True)


def row(name: str, analyzer: str) -> str:
    """Return a row of the table."""
    registry = Registry.discover()
    path = weights.find(name, Catalog.load())
    with tempfile.TemporaryDirectory() as folder:
        untrained = randomised(path, Path(folder) / "random.safetensors", registry)
        ours, theirs = (scores(each, analyzer, registry) for each in (path, untrained))
    return (
        f"| {name} | {analyzer} | {ours['boxed_maps']:,.0f} | {ours['pointing_game']:.1%} "
        f"| {ours['pointing_centre']:.1%} | {theirs['pointing_game']:.1%} | {ours['box_iou']:.2f} |"
    )


def scores(path: Path, analyzer: str, registry: Registry) -> dict[str, float]:
    """Return the box scores over the test split."""
    found = analyze(analyzer, path, registry, split="test", classes=["true"])
    assert found.analysis.maps is not None
    assert found.inputs.boxes is not None
    size = found.inputs.card.arguments["image_size"]
    return box_scores(found.analysis.maps[:, 0], found.inputs.boxes, size=size)


def randomised(path: Path, target: Path, registry: Registry) -> Path:
    """Write a file like another whose weights are those before training."""
    _, card = weights.load(path, registry)
    model = build_model(registry.architecture(card.architecture), card.arguments, seed=0)
    with torch.no_grad():
        weights.save(target, model, card)
    return target


if __name__ == "__main__":
    main()
