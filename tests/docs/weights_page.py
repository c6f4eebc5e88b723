"""docs/reference/weights.md, made from registry.toml.

python -m tests.docs.weights_page > docs/reference/weights.md
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zoo.config.recipe import Recipe
from zoo.console.figures import figure, interval, over_seeds
from zoo.files.cards import Card, read_card
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec

__all__ = ["USES", "by_dataset", "page", "use"]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
USES = IMAGES / "weights"
START = """\
# Weights

This page lists the trained models that zoo publishes, the best first. Each weights file contains a card.
[registry.toml](../../registry.toml) contains the recipe of each model, so you can train any model again.

```sh
zoo list weights                        # list all published weights, and show which are on this machine
zoo eval cifar10-resnet20               # measure the metrics of a model again
zoo train cifar10-resnet20 --threads 1  # train the model again; bit-identical on the same kind of processor
zoo train resnet20 folder --data root=images --from cifar10-resnet20      # fine-tune the model
```

In Python, use `zoo.load("cifar10-resnet20")`. If an architecture has only one published weights file,
you can use the name of the architecture instead: `zoo sample gru`.

The tables show the metrics that `zoo eval` measures for each file on the test split or, if there is no test
split, on the validation split. The range in parentheses is the 95% confidence interval; see [How sure is a
number?](../explanation/intervals.md). Each model was trained with seed 0. For most models, the tables also
show the mean and standard deviation over two or three seeds. Each file stores matrices in bf16 if rounding
them to bf16 does not change any metric by more than 0.0005. The time is the CPU time for training on one
thread of an AMD EPYC processor with bf16 instructions, on a machine that was also running other work.

The wheel contains the files of up to 2 MB, 18 of 25. The larger files are in the folder `weights/large` of
the repository. In a clone, zoo finds these files automatically. For an installed wheel, run
[`pip install ./weights/large`](../how-to/data.md#published-weights) in a clone.

The gallery of the documentation site, which `make docs` builds, has a page for each model. Each page shows
the recipe, the card, examples of the model's output and, where available, the learning curve.
"""
TITLES = {
    "text/nietzsche": "Nietzsche, characters",
    "text/tinyshakespeare": "Tiny Shakespeare",
    "text/stdlib": "Python's standard library, characters",
    "images/cifar10": "CIFAR-10",
    "images/mnist": "MNIST",
    "images/fashion-mnist": "Fashion-MNIST",
    "images/shapes": "Shapes",
    "images/scenes": "Scenes: multi-label images",
}
Published = dict[str, tuple[WeightsSpec, Recipe, TaskSpec]]


def page() -> str:
    """Return the whole page."""
    parts = [START]
    for dataset, published in by_dataset(Registry.discover()).items():
        parts += [f"## {TITLES[dataset]}\n", *_image(dataset), _table(published)]
    return "\n".join(parts)


def by_dataset(registry: Registry) -> dict[str, Published]:
    """Return the published weights by the full name of their dataset in the order of `TITLES`, best first."""
    found: dict[str, Published] = {dataset: {} for dataset in TITLES}
    for name, spec in registry.catalog.weights.items():
        recipe = registry.recipe(spec.recipe)
        found[recipe.dataset][name] = (spec, recipe, registry.task_of(recipe))
    return {
        dataset: dict(sorted(published.items(), key=lambda item: _rank(*item[1])))
        for dataset, published in found.items()
        if published
    }


def _rank(spec: WeightsSpec, _: Recipe, task: TaskSpec) -> float:
    metric = [*spec.metrics.values()][-1][task.primary_metric]
    return -metric if task.primary_metric in task.higher_is_better else metric


def _image(dataset: str) -> Iterable[str]:
    path = IMAGES / f"weights-{dataset.rpartition('/')[2]}.png"
    if path.exists():
        yield f"![Primary metric versus number of parameters](../images/{path.name})\n"


def _table(published: Published) -> str:
    _, _, task = next(iter(published.values()))
    unit = task.units.get(task.primary_metric, "")
    lines = [f"| weights | {task.primary_metric} | by seed | parameters | size | time |", f"|{'---|' * 6}"]
    for name, (spec, _, _) in published.items():
        metrics = [*spec.metrics.values()][-1]
        spread = over_seeds(spec.by_seed, task) or "1 seed"
        bounds = _card(spec).intervals.get([*spec.metrics][-1], {}).get(task.primary_metric)
        cells = (
            f"`{name}`",
            f"{figure(metrics[task.primary_metric], unit)} {interval(bounds, unit)}".rstrip(),
            spread.replace(f" {task.primary_metric}", "").replace(f"{task.primary_metric} ", ""),
            f"{spec.params:,}",
            f"{spec.bytes / 1e6:.1f} MB",
            _time(spec.seconds),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _card(spec: WeightsSpec) -> Card:
    return read_card(Path(__file__).parents[2] / spec.file)


def _time(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def use(name: str) -> list[str]:
    """Return a command that uses some weights, whose output the gallery shows."""
    corpus = name.partition("-")[0]
    prompts = {"nietzsche": "the ", "stdlib": "def ", "tinyshakespeare": "romeo:"}
    if corpus in prompts:
        length = "60" if name.endswith("words") else "240"
        options = [
            "--prompt",
            prompts[corpus],
            "--temperature",
            "0.7",
            "--seed",
            "0",
            "--max-new-tokens",
            length,
        ]
        return ["zoo", "sample", name, *options]
    if name.startswith(("shapes", "scenes")):
        finer = ["--layer", "stages.1"] if name == "scenes-convnet-bn" else []
        return ["zoo", "analyze", "grad-cam", name, "--indices", "4,6,7,9", *finer]
    return ["zoo", "analyze", "confusion", name]


if __name__ == "__main__":
    print(page(), end="")
