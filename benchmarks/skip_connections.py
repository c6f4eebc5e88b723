"""Does a deep network train without skip connections? resnet-lite with and without them, at several depths.

    python benchmarks/skip_connections.py [--seeds 2] [--results skip.json]

Each network trains for two epochs on 10,000 CIFAR-10 images, at a learning rate of 0.05 and with the
default options of resnet-lite otherwise. The table shows the accuracy on 2,000 other training images, as
the mean and the values of all seeds. The depth is the number of residual layers, without the stem and the
layer that halves the image in each stage.

One thread. The results file keeps every training, so that a second call continues the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import zoo

STAGES = 4
WAYS = ("with", "without")
DEPTHS = (4, 8, 12, 24)
DATA = {"train_size": 10_000, "val_size": 2_000}
EPOCHS = 2
# Suits most of the networks better than the default of resnet-lite, 0.1, in so short a training
LR = 0.05


def train(depth: int, skip: bool, seed: int) -> dict[str, float]:
    """Return the training loss of the last epoch, and the metrics on the validation split."""
    model: dict[str, Any] = {"extra": depth // STAGES, "skip": skip}
    with tempfile.TemporaryDirectory() as folder:
        run = zoo.train(
            "resnet-lite",
            "cifar10",
            model=model,
            data=DATA,
            seed=seed,
            epochs=EPOCHS,
            lr=LR,
            threads=1,
            run=Path(folder, "run"),
            progress=False,
        )
        last = run.history[-1]
        return {"train_loss": last["train"]["loss"], **last["val"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2, help="Number of seeds.")
    parser.add_argument("--results", type=Path, default=Path("skip-connections.json"))
    chosen = parser.parse_args()
    found: dict[str, dict[str, float]] = (
        json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    )
    for seed in range(chosen.seeds):
        for depth in DEPTHS:
            for way in WAYS:
                key = f"{depth} {way} {seed}"
                if key not in found:
                    found[key] = train(depth, way == "with", seed)
                    chosen.results.write_text(json.dumps(found))
                    print(key, found[key], flush=True)
    print("| residual layers | with skip connections | without |\n|---|---|---|")
    for depth in DEPTHS:
        results = {way: [found[f"{depth} {way} {seed}"] for seed in range(chosen.seeds)] for way in WAYS}
        print(f"| {depth} | {_cell(results['with'])} | {_cell(results['without'])} |")


def _cell(results: list[dict[str, float]]) -> str:
    values = [100 * each["accuracy"] for each in results]
    return f"{statistics.mean(values):.1f}% ({', '.join(f'{value:.1f}' for value in values)})"


if __name__ == "__main__":
    main()
