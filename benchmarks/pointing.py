"""The pointing game: how often the maximum of a map lies on an object of the class.

    python benchmarks/pointing.py [WEIGHTS ...] [--analyzers cam grad-cam]

The weights must be of models trained on images/shapes, whose test images have boxes; maps are of the true
class. The baselines are the center of the image, which needs no map, and the same network with random
weights.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import zoo
from zoo.analysis.faithfulness import box_scores
from zoo.models import weights


def main() -> None:
    parser = argparse.ArgumentParser(description="Play the pointing game.")
    parser.add_argument("weights", nargs="*", default=["shapes-resnet20"])
    parser.add_argument("--analyzers", nargs="*", default=["cam", "grad-cam"])
    options = parser.parse_args()
    print("| weights | analyzer | images | hits | center of the image | random weights | box IoU |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in options.weights:
        for analyzer in options.analyzers:
            print(row(name, analyzer), flush=True)


def row(name: str, analyzer: str) -> str:
    """Return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        model = zoo.load(name, device="cpu")
        ours, theirs = (scores(played, analyzer) for played in (model, untrained(model, Path(folder))))
    return (
        f"| {name} | {analyzer} | {ours['boxed_maps']:,.0f} | {ours['pointing_game']:.1%} "
        f"| {ours['pointing_center']:.1%} | {theirs['pointing_game']:.1%} | {ours['box_iou']:.2f} |"
    )


def scores(model: zoo.Model, analyzer: str) -> dict[str, float]:
    """Return the box scores over the test split."""
    findings = model.analyze(analyzer, split="test", classes=["true"])
    assert findings.analysis.maps is not None
    boxes = [boxes for by_class in findings.inputs.boxes or () for boxes in by_class.values()]
    size = model.card.arguments["image_size"]
    return box_scores(findings.analysis.maps[:, 0], boxes, size=size)


def untrained(model: zoo.Model, folder: Path) -> zoo.Model:
    """Return a model with the weights of before training."""
    module = zoo.create_model(model.card.architecture, seed=0, **model.card.arguments)
    weights.save(folder / "random.safetensors", module, model.card)
    return zoo.load(folder / "random.safetensors", device="cpu")


if __name__ == "__main__":
    main()
