"""What the two lessons claim, tested: each claim with an experiment, three seeds, an interval and a verdict.

    python benchmarks/lesson_claims.py [--seeds 3] [--results claims.json]

Two trainings that differ in one option are compared by the metric of the validation split after the last
epoch. Trainings with the same seed see the same data in the same order. The difference is the mean over
seeds of the first training's metric minus the second's, with the 95% interval of a paired t-test. A claim
holds if the interval lies on its side of zero.

The trainings are short, and all of them take about an hour and a half on one thread. The results file keeps
every training, so that a second call continues the first. Requires SciPy (the extra `stats`), CIFAR-10 and
Nietzsche.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy import stats

import zoo
from zoo.errors import Diverged


@dataclass(frozen=True)
class Training:
    """A network, its data, and its options."""

    architecture: str
    dataset: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def but(self, **options: Any) -> Training:
        """Return the same training with other options; those of the model are added to it."""
        model = self.options.get("model", {}) | options.pop("model", {})
        return Training(
            options.pop("architecture", self.architecture),
            self.dataset,
            self.options | options | {"model": model},
        )

    @property
    def key(self) -> str:
        return json.dumps([self.architecture, self.dataset, self.options], sort_keys=True)


# The plain RNN of the lesson on parallel streams, at a constant rate
STREAMS = Training(
    "rnn",
    "nietzsche",
    {
        "epochs": 4, "batch_size": 64, "bptt": 8, "bptt_jitter": False, "batching": "stateful",
        "optimizer": "adam", "lr": 1e-3, "schedule": "constant", "weight_decay": 0.0,
    },
)  # fmt: skip
# A tenth of the text, on which the network overfits within the training
NO_DROPOUT = {"dropout_input": 0.0, "dropout_hidden": 0.0, "dropout_output": 0.0, "weight_drop": 0.0}
AWD = Training(
    "awd-lstm",
    "nietzsche",
    {
        "data": {"splits": [10, 10, 80]}, "model": {"hidden_size": 200} | NO_DROPOUT,
        "epochs": 15, "batch_size": 16, "bptt": 16, "lr": 4e-3, "weight_decay": 0.0,
    },
)  # fmt: skip
CIFAR = {
    "data": {"train_size": 10_000, "val_size": 2_000},
    "epochs": 3,
    "batch_size": 64,
    "schedule": "constant",
}
CONVNET = Training("convnet-bn", "cifar10", CIFAR)
RESIDUAL = Training("resnet-lite", "cifar10", CIFAR | {"lr": 0.05, "schedule": "one-cycle"})
LOCKED = {"dropout_input": 0.1, "dropout_hidden": 0.25, "dropout_output": 0.1}

# Each claim, and the training that should be better than the other
CLAIMS = (
    ("stateful batches are better than sections", STREAMS, STREAMS.but(batching="sections")),
    ("a GRU is better than a plain RNN", STREAMS.but(architecture="gru"), STREAMS),
    ("with tanh, identity initialization helps", STREAMS.but(model={"init": "identity"}), STREAMS),
    (
        "with ReLU, identity initialization helps",
        STREAMS.but(model={"nonlinearity": "relu", "init": "identity"}),
        STREAMS.but(model={"nonlinearity": "relu"}),
    ),
    ("dropout with one mask per sequence helps", AWD.but(model=LOCKED), AWD),
    ("weight dropping helps", AWD.but(model={"weight_drop": 0.2}), AWD),
    (
        "both help more than one mask per sequence",
        AWD.but(model=LOCKED | {"weight_drop": 0.2}),
        AWD.but(model=LOCKED),
    ),
    (
        "BatchNorm helps at a learning rate of 0.05",
        CONVNET.but(lr=0.05),
        CONVNET.but(lr=0.05, model={"norm": "none"}),
    ),
    (
        "BatchNorm helps at a learning rate of 0.3",
        CONVNET.but(lr=0.3),
        CONVNET.but(lr=0.3, model={"norm": "none"}),
    ),
    (
        "4 residual layers are better with skips",
        RESIDUAL.but(model={"extra": 1}),
        RESIDUAL.but(model={"extra": 1, "skip": False}),
    ),
    (
        "24 residual layers are better with skips",
        RESIDUAL.but(model={"extra": 6}),
        RESIDUAL.but(model={"extra": 6, "skip": False}),
    ),
    (
        "BatchNorm after ReLU is better than before it",
        RESIDUAL,
        RESIDUAL.but(model={"order": "conv-bn-relu"}),
    ),
)


def train(training: Training, seed: int) -> dict[str, float]:
    """Return the metrics on the validation split after the last epoch; none if the training diverged."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = zoo.train(
                training.architecture,
                training.dataset,
                seed=seed,
                threads=1,
                run=Path(folder, "run"),
                progress=False,
                **training.options,
            )
        except Diverged:
            return {}
        return dict(run.history[-1]["val"])


def measure(metrics: dict[str, float]) -> float:
    """Return the metric to compare: accuracy in percent, or the loss in nats with the state carried over."""
    if "accuracy" in metrics:
        return 100 * metrics["accuracy"]
    return metrics.get("carried_loss", metrics["loss"])


def row(claim: str, one: list[dict[str, float]], other: list[dict[str, float]]) -> str:
    """Return the row of a claim: both means, the difference with its interval, and the verdict."""
    if not all(one + other):
        return f"| {claim} | a training diverged | | | |"
    ours, theirs = ([measure(metrics) for metrics in each] for each in (one, other))
    low, high = stats.ttest_rel(ours, theirs).confidence_interval()
    accuracy = "accuracy" in one[0]
    good, bad = (low > 0, high < 0) if accuracy else (high < 0, low > 0)
    verdict = "holds" if good else "the opposite holds" if bad else "not shown"
    unit, digits = ("%", 1) if accuracy else ("", 3)
    means = " | ".join(f"{statistics.mean(values):.{digits}f}{unit}" for values in (ours, theirs))
    difference = statistics.mean(ours) - statistics.mean(theirs)
    interval = f"({low:+.{digits}f} to {high:+.{digits}f})"
    return f"| {claim} | {means} | {difference:+.{digits}f} {interval} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Test what the lessons claim.")
    parser.add_argument("--seeds", type=int, default=3, help="Number of seeds.")
    parser.add_argument("--results", type=Path, default=Path("claims.json"))
    chosen = parser.parse_args()
    found: dict[str, dict[str, float]] = (
        json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    )

    def metrics_of(training: Training) -> list[dict[str, float]]:
        for seed in range(chosen.seeds):
            key = f"{seed} {training.key}"
            if key not in found:
                found[key] = train(training, seed)
                chosen.results.write_text(json.dumps(found, indent=0))
        return [found[f"{seed} {training.key}"] for seed in range(chosen.seeds)]

    print("| claim | first | second | difference | verdict |\n|---|---|---|---|---|", flush=True)
    for claim, one, other in CLAIMS:
        print(row(claim, metrics_of(one), metrics_of(other)), flush=True)


if __name__ == "__main__":
    main()
