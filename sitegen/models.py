"""The gallery's pages of published weights: the model, its output, and its training."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sitegen.curves import CURVES
from sitegen.entries import page_of, recipe_text, refer, table
from sitegen.places import link
from tests.docs.weights_page import USES, use
from zoo.console.figures import figures, over_seeds
from zoo.files.cards import read_card
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec

__all__ = ["model_page", "score"]

# What to do with a model of each task, on the command line and in Python
_USES = {
    "classification": ("zoo predict {name} cat.jpg", 'model.predict(["cat.jpg"], top=3)'),
    "multi-label": ("zoo predict {name} image.jpg", 'model.predict(["image.jpg"])'),
    "language-modeling": (
        "zoo sample {name} --prompt {prompt}",
        'model.sample("{prompt}", max_new_tokens=200)',
    ),
}
# Items of a list of a card that are shown
_MOST = 10
_PROMPTS = {"stdlib": "import", "nietzsche": "the", "tinyshakespeare": "romeo"}


def score(registry: Registry, name: str) -> str:
    """Return the primary metric of published weights with its unit, such as `test accuracy 91.31%`."""
    spec, task = registry.catalog.weights[name], _task(registry, name)
    split, metrics = [*spec.metrics.items()][-1]
    shown = figures({task.primary_metric: metrics[task.primary_metric]}, task.units)
    return f"{split} {shown}".replace(" map ", " mAP ")


def model_page(registry: Registry, name: str, *, in_browser: bool) -> str:
    """Return the page of published weights.

    Args:
        in_browser: whether the page `try/` runs the model.
    """
    page = page_of("weights", name)
    recipe = registry.recipe(registry.catalog.weights[name].recipe)
    parts = [f"# {name}\n", f"{recipe.summary}.\n"]
    if in_browser:
        parts.append(f'<a class="md-button" href="../../try/#{name}">Try it in the browser</a>\n')
    parts += [_facts(registry, name, page), *_example(registry, name), *_shown(name, page)]
    if (CURVES / f"{name}-curve.png").exists():
        image = link(f"images/weights/{name}-curve.webp", page=page)
        parts.append("## Learning curves\n\nThese curves are from a second training run of the recipe.\n")
        parts.append(f"![Loss, metric and learning rate of {name} by epoch]({image})\n")
    spec = registry.catalog.weights[name]
    parts += [
        f"## The recipe\n\n{recipe_text(spec.recipe)}",
        f"`zoo train {spec.recipe}` reproduces the weights bit for bit on one thread of the same CPU type.\n",
    ]
    if Path(spec.file).exists():  # a source distribution has the small ones only
        parts.append(_card(name, spec.file))
    return "\n".join(parts)


def _facts(registry: Registry, name: str, page: str) -> str:
    spec, task = registry.catalog.weights[name], _task(registry, name)
    recipe = registry.recipe(spec.recipe)
    minutes = f"{spec.seconds / 60:.0f} minutes" if spec.seconds >= 100 else f"{spec.seconds:.0f} seconds"
    intervals = read_card(Path(spec.file)).intervals if Path(spec.file).exists() else {}
    shipped = "part of the package" if "/small/" in spec.file else "in `weights/large` and zoo-weights"
    return table(
        [
            ("task", refer("task", [task.name], page=page)),
            ("architecture", refer("architecture", [recipe.architecture], page=page)),
            ("dataset", refer("dataset", [recipe.dataset], page=page)),
            *(
                (split, figures(metrics, task.units, intervals.get(split, {})))
                for split, metrics in spec.metrics.items()
            ),
            ("over seeds", over_seeds(spec.by_seed, task)),
            ("parameters", f"{spec.params:,}"),
            ("file", f"{spec.bytes / 1e6:.1f} MB, {shipped}"),
            ("training", f"{minutes} of processor time on one thread" if spec.seconds else ""),
            ("license", spec.license),
        ]
    )


def _example(registry: Registry, name: str) -> Iterator[str]:
    command, call = _USES[_task(registry, name).name]
    prompt = _PROMPTS.get(name.partition("-")[0], "")
    command, call = (text.format(name=name, prompt=prompt) for text in (command, call))
    yield f"## Use it\n\n```sh\n{command}\n```\n"
    yield f'```python\nimport zoo\n\nmodel = zoo.load("{name}")\n{call}\n```\n'


def _shown(name: str, page: str) -> Iterator[str]:
    """Yield the text and images that commands produce with these weights."""
    command = shlex.join(use(name))
    printed, image = USES / f"{name}.txt", USES / f"{name}.png"
    titles = {"sample": "Generated text", "confusion": "Confusion matrix", "grad-cam": "Heat maps"}
    title = next(title for word, title in titles.items() if f" {word} " in command)
    text = printed.read_text(encoding="utf-8").rstrip() if printed.exists() else ""
    shown = f"```console\n$ {command}\n{text}\n```" if text else f"```sh\n{command}\n```"
    yield f"## {title}\n\n{shown}\n"
    if image.exists():
        yield f"![{title} of {name}]({link(f'images/weights/{image.stem}.webp', page=page)})\n"


def _card(name: str, file: str) -> str:
    """Return the section on the card of a weights file, without empty fields, with long lists truncated."""
    card = {key: value for key, value in read_card(Path(file)).to_dict().items() if value not in ({}, [], "")}
    card["preprocess"] = {key: _cut(value) for key, value in card["preprocess"].items()}
    text = json.dumps(card, indent=2, ensure_ascii=False)
    text = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    about = f"`zoo inspect {name} --json` prints this metadata of the file; long lists are truncated here."
    return f"## The card {{ data-search-exclude }}\n\n{about}\n\n```json\n{text}\n```\n"


def _cut(value: Any) -> Any:
    return [*value[:_MOST], "..."] if isinstance(value, list) and len(value) > _MOST else value


def _task(registry: Registry, name: str) -> TaskSpec:
    return registry.task_of(registry.recipe(registry.catalog.weights[name].recipe))
