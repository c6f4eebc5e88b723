"""How good the learning rates are that `zoo lr-find` suggests."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import zoo
from benchmarks.measuring import benchmark
from benchmarks.rows import Row
from benchmarks.trainings import Remembered, Training

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
# Metrics by which the best rate of a recipe is chosen, with their factor, so that higher is better
METRICS = {"accuracy": 100, "mAP": 100, "loss": -1}


@benchmark(minutes=300, needs="CIFAR-10, Nietzsche")
def lr_find_regret(*recipes: str, results: str = "") -> Iterator[Row]:
    """Regret of the learning rates that `zoo lr-find` suggests, after two epochs of every quick recipe.

    Each recipe is trained for two epochs (or its only one) at each suggestion, and at rates that differ by a
    factor of two, from the recipe's own up and down until both neighbors of the best are worse. Recipes that
    train on all images hold some out. The regret of a suggestion is the best metric of all these trainings
    minus its own, in points or nats. One seed, one thread. `--results FILE` keeps every training, so that a
    second call continues the first.
    """
    known = Remembered(results)
    registry, regrets = zoo.Registry.discover(), defaultdict[tuple[str, str], list[float]](list)
    for name in recipes or RECIPES:
        spec = registry.recipe(name)
        held = {"val_size": HELD_OUT[spec.dataset]} if spec.dataset in HELD_OUT else {}
        training = Training(name, None, {"data": held, "epochs": min(EPOCHS, spec.train["epochs"])})

        def score(lr: float, training: Training = training) -> tuple[float, str]:
            """Return the metric after training at a rate; -inf if it diverges."""
            metrics = known.metrics(training.but(lr=float(f"{lr:.3g}")), 0)
            metric = next((each for each in METRICS if each in metrics), "")
            return (METRICS[metric] * metrics[metric] if metric else -math.inf), metric

        suggestions = zoo.lr_find(name, threads=1, progress=False, data=held).to_dict()["suggestions"]
        scores = {lr: score(lr)[0] for lr in [*suggestions.values(), *_bracket(spec.train["lr"], score)]}
        best = max(scores, key=lambda lr: scores[lr])
        unit = "nats" if score(best)[1] == "loss" else "points"
        yield Row(name, "best rate", best)
        yield Row(name, "metric at the best rate", abs(scores[best]), unit)
        for kind, lr in suggestions.items():
            yield Row(name, kind, lr)
            if math.isfinite(scores[lr]):
                yield Row(name, f"regret of {kind}", scores[best] - scores[lr], unit)
                regrets[kind, unit].append(scores[best] - scores[lr])
    for (kind, unit), found in regrets.items():
        yield Row(
            f"all recipes in {unit}", f"mean regret of {kind}", statistics.mean(found), unit, len(found)
        )


def _bracket(own: float, score: Any) -> Iterator[float]:
    """Yield rates a factor of two apart, until both neighbors of the best are worse."""
    scores = {step: score(own * 2.0**step)[0] for step in (0, -1, 1)}
    while (best := max(scores, key=lambda step: (scores[step], -abs(step)))) in (min(scores), max(scores)):
        step = best + (1 if best == max(scores) else -1)
        scores[step] = score(own * 2.0**step)[0]
    yield from (own * 2.0**step for step in scores)
