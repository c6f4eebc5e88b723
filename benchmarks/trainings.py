"""What trainings reach: recipes over seeds, claims of the lessons, and networks trained for equally long."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import zoo
from benchmarks.measuring import benchmark, in_turn, mean_of, median_of, seconds
from benchmarks.rows import Row
from zoo import Recipe, Registry
from zoo.data.opening import open_dataset
from zoo.errors import Diverged
from zoo.evaluation.measure import measure
from zoo.interfaces import make_task

__all__ = ["Remembered", "Training"]


@dataclass(frozen=True)
class Training:
    """A network and its data, or a recipe and None, and the options."""

    architecture: str
    dataset: str | None
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def but(self, **options: Any) -> Training:
        """Return the same training with other options; those of the model are added to it."""
        if "model" in options:
            options["model"] = self.options.get("model", {}) | options["model"]
        architecture = options.pop("architecture", self.architecture)
        return Training(architecture, self.dataset, self.options | options)

    def metrics(self, seed: int) -> dict[str, float]:
        """Train on one thread, and return the metrics on the validation split; none if training diverges."""
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Diverged):
            where: dict[str, Any] = {"threads": 1, "run": Path(folder, "run"), "progress": False}
            run = zoo.train(self.architecture, self.dataset, seed=seed, **where, **self.options)
            return dict(run.history[-1]["val"])
        return {}


class Remembered:
    """The metrics of trainings, kept in a file if one is named, so that a second call continues the first."""

    def __init__(self, file: str) -> None:
        self.file = Path(file) if file else None
        self.known: dict[str, Any] = (
            json.loads(self.file.read_text()) if self.file and self.file.exists() else {}
        )

    def metrics(self, training: Training, seed: int) -> dict[str, float]:
        """Return what a training reaches."""
        key = json.dumps([seed, training.architecture, training.dataset, training.options], sort_keys=True)
        if key not in self.known:
            self.known[key] = training.metrics(seed)
            if self.file:
                self.file.write_text(json.dumps(self.known, indent=0))
        return self.known[key]


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
RELU, IDENTITY, PLAIN = {"nonlinearity": "relu"}, {"init": "identity"}, {"norm": "none"}
WEIGHT_DROP = {"weight_drop": 0.2}
BOTH, MASKS = AWD.but(model=LOCKED | WEIGHT_DROP), AWD.but(model=LOCKED)
SLOW, FAST = CONVNET.but(lr=0.05), CONVNET.but(lr=0.3)
SHALLOW, DEEP, UNSKIPPED = RESIDUAL.but(model={"extra": 1}), RESIDUAL.but(model={"extra": 6}), {"skip": False}
# Each claim, and the training that should be better than the other
CLAIMS = {
    "stateful batches are better than sections": (STREAMS, STREAMS.but(batching="sections")),
    "a GRU is better than a plain RNN": (STREAMS.but(architecture="gru"), STREAMS),
    "with tanh, identity initialization helps": (STREAMS.but(model=IDENTITY), STREAMS),
    "with ReLU, identity initialization helps": (STREAMS.but(model=RELU | IDENTITY), STREAMS.but(model=RELU)),
    "dropout with one mask per sequence helps": (MASKS, AWD),
    "weight dropping helps": (AWD.but(model=WEIGHT_DROP), AWD),
    "both help more than one mask per sequence": (BOTH, MASKS),
    "BatchNorm helps at a learning rate of 0.05": (SLOW, SLOW.but(model=PLAIN)),
    "BatchNorm helps at a learning rate of 0.3": (FAST, FAST.but(model=PLAIN)),
    "4 residual layers are better with skips": (SHALLOW, SHALLOW.but(model=UNSKIPPED)),
    "24 residual layers are better with skips": (DEEP, DEEP.but(model=UNSKIPPED)),
    "BatchNorm after ReLU is better than before it": (
        RESIDUAL,
        RESIDUAL.but(model={"order": "conv-bn-relu"}),
    ),
}


@benchmark(minutes=90, needs="CIFAR-10, Nietzsche, SciPy")
def lesson_claims(*, seeds: int = 3, results: str = "") -> Iterator[Row]:
    """Claims of the two lessons, each tested with two trainings that differ in one option, over three seeds.

    The metric is that of the validation split after the last epoch. Trainings with the same seed see the same
    data in the same order. The difference is the mean of the first minus the second, with the 95% interval of
    a paired t-test. `--results FILE` keeps every training, so that a second call continues the first.
    """
    from scipy import stats

    known = Remembered(results)
    for claim, pair in CLAIMS.items():
        found = [[known.metrics(training, seed) for seed in range(seeds)] for training in pair]
        if not all(found[0] + found[1]):
            yield Row(claim, "diverged", 1, "wrong", seeds)
            continue
        unit = "% accuracy" if "accuracy" in found[0][0] else "nats"
        ours, theirs = ([_measure(metrics) for metrics in each] for each in found)
        for figure, values in (("first", ours), ("second", theirs)):
            yield Row(claim, figure, statistics.mean(values), unit, seeds)
        low, high = stats.ttest_rel(ours, theirs).confidence_interval()
        difference = statistics.mean(ours) - statistics.mean(theirs)
        row = Row(claim, "difference", difference, unit, seeds, float(low), float(high))
        yield row
        bounds = [bound * row.better for bound in row.bounds]
        yield Row(claim, "verdict", 1 if min(bounds) > 0 else -1 if max(bounds) < 0 else 0)


def _measure(metrics: dict[str, float]) -> float:
    """Return the metric to compare: accuracy in percent, or the loss in nats with the state carried over."""
    if "accuracy" in metrics:
        return 100 * metrics["accuracy"]
    return metrics.get("carried_loss", metrics["loss"])


@benchmark(minutes=60, needs="CIFAR-10")
def skip_connections(
    *, seeds: int = 2, depths: tuple[int, ...] = (4, 8, 12, 24), results: str = ""
) -> Iterator[Row]:
    """Accuracy of `resnet-lite` with and without skip connections, with 4 to 24 residual layers.

    Two epochs on 10,000 CIFAR-10 images at a learning rate of 0.05, with the default options otherwise;
    accuracy on 2,000 other training images. The depth leaves out the stem and the layer that halves the image
    in each stage. `--results FILE` keeps every training, so that a second call continues the first.
    """
    known = Remembered(results)
    base = Training("resnet-lite", "cifar10", {"data": CIFAR["data"], "epochs": 2, "lr": 0.05})
    for depth in depths:
        for figure, skip in (("with skip connections", True), ("without", False)):
            training = base.but(model={"extra": depth // 4, "skip": skip})
            values = [_measure(known.metrics(training, seed)) for seed in range(seeds)]
            yield mean_of(str(depth), figure, values, "% accuracy")


@benchmark(minutes=60, needs="CIFAR-10, Nietzsche")
def quality(*recipes: str, seeds: int = 3, keep: str = "") -> Iterator[Row]:
    """The results of recipes over several seeds: the primary metric after the last epoch.

    `--keep FOLDER` copies the weights of seed 0 to FOLDER/RECIPE.safetensors.
    """
    registry = Registry.discover()
    for name in recipes or ("nietzsche-lstm", "cifar10-resnet-lite"):
        metric, values, taken = (
            registry.task_of(registry.recipe(name)).primary_metric,
            list[float](),
            list[float](),
        )
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                recipe = replace(registry.recipe(name), seed=seed)
                run = zoo.train(recipe, run=Path(folder, "run"), progress=False, registry=registry)
                ((split, metrics),) = run.result.metrics.items()
                if not seed:
                    yield Row(name, "parameters", run.model.num_parameters)
                    yield Row(name, "epochs", run.result.epochs)
                    if keep:
                        Path(keep).mkdir(parents=True, exist_ok=True)
                        Path(keep, f"{name}.safetensors").write_bytes(Path(run.result.weights).read_bytes())
                values.append(metrics[metric])
                taken.append(run.result.seconds)
        percent = metric == "accuracy"
        unit = "% accuracy" if percent else "nats" if metric == "loss" else ""
        yield mean_of(name, f"{split} {metric}", [100 * v if percent else v for v in values], unit)
        yield median_of(name, "seconds per seed", taken, "s")


@benchmark(minutes=10, needs="Nietzsche")
def batching(*, epochs: int = 8, after: float = 30.0) -> Iterator[Row]:
    """Loss, time and number of characters read with windows, sections and parallel streams.

    `windows` reads each character `bptt` times for one prediction; `sections` predicts at every position, but
    forgets the text at each border; `stateful` carries the hidden state on. Each loss is measured as the
    model was trained, with exactly `bptt` characters for each prediction, and with the state carried along
    the whole validation split.
    """
    registry = Registry.discover()
    cases = {
        "`windows` of 3": ("nietzsche-windows", {"bptt": 3}),
        **{f"`{way}`": (f"nietzsche-{way}", {}) for way in ("windows", "sections", "stateful")},
    }
    for case, (name, changes) in cases.items():
        recipe = registry.recipe(name)
        recipe = replace(recipe, train=recipe.train | {"epochs": epochs} | changes)
        with tempfile.TemporaryDirectory() as folder:
            run = zoo.train(recipe, run=Path(folder) / "run", progress=False, registry=registry)
            config = registry.training_config(recipe)
            context = config.groups["text"].bptt
            exact = run.model.evaluate("val", context=context, progress=False)["metrics"]["loss"]
            history, taken = run.history, run.result.seconds
        dataset = open_dataset(registry.dataset(recipe.dataset), recipe.data)
        task = make_task(registry, "language-modeling")
        read = sum(batch.inputs.numel() for batch in task.train_batches(dataset, config, seed=0, epoch=0))
        losses = [_measure(row["val"]) for row in history]
        yield Row(case, "bptt", context)
        yield Row(case, f"characters read, {epochs} epochs", read * epochs / 1e6, "M")
        yield Row(case, "seconds", taken, "s")
        yield Row(case, "loss, as trained", history[-1]["val"]["loss"], "nats")
        yield Row(case, "exactly bptt characters", exact, "nats")
        yield Row(case, "state carried over", losses[-1], "nats")
        ends = torch.tensor([row["clock"]["seconds"] for row in history]).cumsum(0)
        if done := int((ends <= after).sum()):
            yield Row(case, f"the same after {after:.0f} s", losses[done - 1], "nats", done)


# The shortest recipe of each family
FAMILIES = (
    "cifar10-mlp", "cifar10-convnet", "cifar10-convnet-bn", "cifar10-resnet-lite",
    "cifar10-resnet-lite-wide", "cifar10-resnet20", "cifar10-airbench", "nietzsche-rnn", "nietzsche-gru",
    "nietzsche-min-gru", "nietzsche-lstm", "nietzsche-awd-lstm",
)  # fmt: skip
# The training images of CIFAR-10, divided into a training and a validation split
IMAGES, VALIDATED = 45_000, 5_000


@benchmark(minutes=35, needs="CIFAR-10, Nietzsche")
def within_a_minute(
    *recipes: str, budgets: tuple[float, ...] = (7.5, 15, 30, 60), threads: int = 2, seed: int = 0
) -> Iterator[Row]:
    """Accuracy or loss of each family after trainings of 7.5, 15, 30 and 60 seconds, on the validation split.

    Each training has its own schedule, which ends with the time. A first training measures how many items a
    second the network trains. A training has as few epochs as possible: on images, on as many of them as fit;
    on text, on the whole text, so that a network gets no result if an epoch takes longer. Opening the data
    and evaluating do not count. The recipes' other options do not change.
    """
    registry = Registry.discover()
    with tempfile.TemporaryDirectory() as folder:

        def trained(name: str, recipe: Recipe, epochs: int, items: int) -> zoo.Run:
            data = recipe.data | ({"val_size": VALIDATED, "train_size": items} if items else {})
            chosen = replace(recipe, data=data, train=recipe.train | {"epochs": epochs})
            where = tempfile.mkdtemp(dir=folder)
            return zoo.train(chosen, run=Path(where, name), threads=threads, progress=False)

        for name in recipes or FAMILIES:
            recipe = replace(registry.recipe(name), seed=seed)
            images = registry.task_of(recipe).primary_metric == "accuracy"
            tried = trained(name, recipe, 2, VALIDATED if images else 0)
            epoch = IMAGES / tried.history[-1]["clock"]["rate"] if images else tried.result.seconds / 2
            yield Row(name, "seconds per epoch", epoch, "s")
            for budget in budgets:
                epochs = math.ceil(budget / epoch) if images else int(budget / epoch)
                if epochs:
                    items = min(IMAGES, int(IMAGES * budget / epoch / epochs)) if images else 0
                    run = trained(name, recipe, epochs, items)
                    yield _reached(run, budget)
                    yield Row(name, f"seconds of {budget:g}", run.result.seconds, "s")


def _reached(run: zoo.Run, budget: float) -> Row:
    """Return what a training reaches on the validation split, with its interval."""
    found = run.last.evaluate("val", progress=False)
    metric, unit, times = (
        ("accuracy", "% accuracy", 100) if "accuracy" in found["metrics"] else ("loss", "nats", 1)
    )
    value, (low, high) = found["metrics"][metric], found["intervals"][metric]
    figures = times * value, unit, found["count"], times * low, times * high
    return Row(run.directory.name, f"after {budget:g} s", *figures)


TEXT = "text/tinyshakespeare"
# As in the recipe tinyshakespeare-awd-lstm, apart from the size
SIZE = {"embedding_dim": 64, "hidden_size": 247, "num_layers": 2}
RATES = {
    "batch_size": 64, "optimizer": "adam", "lr": 5e-3, "weight_decay": 5e-6, "schedule": "one-cycle",
    "clip_grad_norm": 1.0, "bptt": 16, "bptt_jitter": True,
}  # fmt: skip
MASKED = {"dropout_input": 0.0, "dropout_hidden": 0.3, "dropout_output": 0.2, "weight_drop": 0.1}
# A tenth of the training text; the whole splits are 80, 10 and 10
SHORT, PARTS = {"splits": [8, 1, 91]}, 10


@benchmark(minutes=30, needs="tinyshakespeare, examples/zoo-nanogpt")
def language_models(
    *, minutes: float = 8.0, threads: int = 2, seed: int = 0, short: bool = False
) -> Iterator[Row]:
    """Loss and sampling speed of a GPT and two LSTMs of the same size, each trained for the same time.

    Two epochs on a tenth of the text measure how long an epoch takes. The number of epochs is the largest
    that fits into the time, so that each one-cycle schedule ends; the evaluations after the epochs do not
    count. The loss is that of the test split with the weights of the best epoch. `--short` trains on a tenth
    of the text, to try the command.
    """
    registry = Registry.discover()
    lstm = Recipe(
        architecture="charrnn/lstm", dataset=TEXT, model={**SIZE, "dropout": 0.3}, train=RATES, seed=seed
    )
    recipes = {
        "nanogpt/gpt": replace(registry.recipe("nanogpt/tinyshakespeare-gpt"), seed=seed),
        "charrnn/lstm": lstm,
        "charrnn/awd-lstm": replace(lstm, architecture="charrnn/awd-lstm", model={**SIZE, **MASKED}),
    }
    with tempfile.TemporaryDirectory() as name:

        def trained(recipe: Recipe, folder: str, data: dict[str, Any], epochs: int) -> zoo.Run:
            chosen = replace(recipe, data=data, train={**recipe.train, "epochs": epochs})
            return zoo.train(chosen, run=Path(name, folder), threads=threads, progress=False)

        runs: dict[str, zoo.Run] = {}
        for number, (case, recipe) in enumerate(recipes.items()):
            tried = trained(recipe, f"short-{number}", SHORT, 2).history
            needed = min(row["clock"]["seconds"] for row in tried) * (1 if short else PARTS)
            epochs = max(1, int(60 * minutes / needed))
            runs[f"`{case}`"] = trained(recipe, str(number), SHORT if short else {}, epochs)
        torch.set_num_threads(threads)
        rates = in_turn({case: lambda run=run: _sampled(run.model) for case, run in runs.items()}, 5)
        for case, run in runs.items():
            found = run.model.evaluate("test", progress=False)
            yield Row(case, "parameters", run.model.num_parameters)
            yield Row(case, "seconds", run.result.seconds, "s")
            yield Row(case, "epochs", run.result.epochs)
            loss, interval = found["metrics"]["loss"], found["intervals"]["loss"]
            yield Row(case, "test loss", loss, "nats", found["count"], *interval)
            yield Row(case, "bits per character", found["metrics"]["bits_per_char"])
            yield median_of(case, "sampling", rates[case], "characters/s")


@benchmark(minutes=1, needs="tinyshakespeare")
def windows_of_nanogpt(*, length: int = 256) -> Iterator[Row]:
    """Loss of `tinyshakespeare-awd-lstm` in windows of 256 characters, as nanoGPT measures its own.

    Each window starts from an empty state, and the loss is the mean over all of its positions. nanoGPT draws
    windows at random from the last tenth of the text; these cover the whole tenth.
    """
    model = zoo.load("tinyshakespeare-awd-lstm", progress=False)
    registry = Registry.discover()
    trained = model.card.dataset
    dataset = open_dataset(registry.dataset(trained.name), trained.options)
    carried = make_task(registry, "language-modeling")
    cut = carried.as_trained({"batching": "sections", "bptt": length})
    for figure, task in (("state carried over", carried), ("windows", cut)):
        found = measure(model.module, task, dataset, "val")
        yield Row("tinyshakespeare-awd-lstm", figure, found.metrics["loss"], "nats", found.count)


def _sampled(model: zoo.Model, characters: int = 500) -> float:
    """Return the characters a second that a model samples."""
    return characters / seconds(lambda: str(model.sample(max_new_tokens=characters, progress=False)))
