"""How much worse than the best learning rate are the suggestions of `zoo lr-find`? Every quick recipe.

    python benchmarks/lr_find_regret.py [--results lr.json] [RECIPE ...]

For each recipe, `zoo lr-find` runs with its default options. Then the recipe is trained for two epochs (or
its only one) at each suggestion, and at rates that differ by a factor of two, starting at the recipe's own
and going up and down until both neighbors of the best are worse. Everything else is the recipe's, except
that recipes that train on all images hold some out for validation. The metric is that of the validation
split: accuracy or mAP of images, loss of texts. The regret of a suggestion is the best metric of all these
trainings minus its own.

One seed, one thread. The results file keeps every training, so that a second call continues the first.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import Diverged

# Recipes that train in at most five minutes on one thread, quickest first, without mnist-convnet-bn and
# fashion-mnist-convnet-bn, which need a download
RECIPES = (
    "shapes-from-cifar10", "shapes-from-scratch", "cifar10-mlp", "nietzsche-rnn", "scenes-convnet-bn",
    "nietzsche-stateful", "nietzsche-sections", "nietzsche-rnn-cell", "cifar10-convnet-bn", "cifar10-convnet",
    "nietzsche-gru", "stdlib-lstm", "cifar10-convnet-bn-deep", "cifar10-resnet-lite",
    "shapes-resnet20", "shapes-camnet",
)  # fmt: skip
EPOCHS = 2
HELD_OUT = {"images/cifar10": 5_000, "images/shapes": 1_000, "images/scenes": 1_000}
# Metrics by which the best rate of a recipe is chosen, and whether higher is better
METRICS = {"accuracy": True, "mAP": True, "loss": False}


class Recipe:
    """A recipe, and what has been measured of it so far."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.file = file
        self.spec = zoo.Registry.discover().recipe(name)
        self.options: dict[str, Any] = {"threads": 1, "progress": False}
        if self.spec.dataset in HELD_OUT:
            self.options["data"] = {"val_size": HELD_OUT[self.spec.dataset]}
        known = json.loads(file.read_text()) if file.exists() else {}
        self.found: dict[str, Any] = known.get(name, {"runs": {}})

    def save(self) -> None:
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.file.write_text(json.dumps(known | {self.name: self.found}))

    def find(self) -> dict[str, float]:
        """Return the suggestions of `zoo lr-find`, with its default options."""
        if "curve" not in self.found:
            self.found["curve"] = zoo.lr_find(self.name, **self.options).to_dict()
            self.save()
        return self.found["curve"]["suggestions"]

    def score(self, lr: float) -> float:
        """Return the metric after training at a learning rate; higher is better, and -inf if it diverges."""
        key = f"{lr:.3g}"
        if key not in self.found["runs"]:
            self.found["runs"][key] = self._train(float(key))
            self.save()
        metrics = self.found["runs"][key]
        return (metrics[self.metric] * (1 if METRICS[self.metric] else -1)) if metrics else -math.inf

    @property
    def metric(self) -> str:
        return next(name for name in METRICS for run in self.found["runs"].values() if name in run)

    def _train(self, lr: float) -> dict[str, float]:
        """Return the metrics on the validation split; none if training diverges."""
        epochs = min(EPOCHS, self.spec.train["epochs"])
        with tempfile.TemporaryDirectory() as folder:
            try:
                run = zoo.train(self.name, run=Path(folder, "run"), lr=lr, epochs=epochs, **self.options)
            except Diverged as error:
                print(f"  {lr:.3g}: {error}", flush=True)
                return {}
            print(f"  {lr:.3g}: {run.result.metrics['val']} {run.result.seconds:.0f} s", flush=True)
            return run.result.metrics["val"]

    def bracket(self) -> None:
        """Train at rates a factor of two apart until both neighbors of the best are worse."""
        own = self.spec.train["lr"]
        low, high = -1, 1
        scores = {step: self.score(own * 2.0**step) for step in (0, low, high)}
        while (best := max(scores, key=lambda step: (scores[step], -abs(step)))) in (low, high):
            step = best + (1 if best == high else -1)
            low, high = min(low, step), max(high, step)
            scores[step] = self.score(own * 2.0**step)

    def best(self) -> tuple[float, float]:
        """Return the best score of all trainings, and its learning rate."""
        return max((self.score(float(key)), float(key)) for key in self.found["runs"])

    def row(self) -> tuple[list[str], dict[str, float]]:
        """Return a row of the table, and the regret of each suggestion."""
        suggestions = self.find()
        scores = {name: self.score(lr) for name, lr in suggestions.items()}
        best, at = self.best()
        regrets = {name: best - score for name, score in scores.items()}
        unit = "nats" if self.metric == "loss" else "points"
        scale = 1 if self.metric == "loss" else 100
        cells = [f"{lr:.2g} ({scale * regrets[name]:.3g} {unit})" for name, lr in suggestions.items()]
        return [self.name, f"{at:.2g} ({scale * abs(best):.4g})", *cells], regrets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--results", type=Path, default=Path("lr-find-regret.json"))
    chosen = parser.parse_args()
    rows: list[list[str]] = []
    regrets: dict[str, dict[str, list[float]]] = {"points": {}, "nats": {}}
    for name in chosen.recipes:
        recipe = Recipe(name, chosen.results)
        print(name, recipe.find(), flush=True)
        recipe.bracket()
        row, found = recipe.row()
        rows.append(row)
        for suggestion, regret in found.items():
            unit = "nats" if recipe.metric == "loss" else "points"
            regrets[unit].setdefault(suggestion, []).append(regret * (1 if unit == "nats" else 100))
    print("\n| recipe | best rate | " + " | ".join(found) + " |\n|" + "---|" * (2 + len(found)))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    for unit, by in regrets.items():
        for suggestion, found_ in by.items():
            print(
                f"{suggestion}: mean regret {statistics.mean(found_):.3f}, largest {max(found_):.3f} {unit}"
            )


if __name__ == "__main__":
    main()
