"""The gallery's pages of published weights: the model, its output, and its training."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sitegen.curves import CURVES
from sitegen.entries import page_of, recipe_text, refer
from sitegen.places import link
from tests.docs.weights_page import USES, use
from zoo.console.figures import figures
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec
from zoo.registry.weights_files import at_hand
from zoo.tools.share.card_text import plain
from zoo.tools.share.model_card import card

__all__ = ["model_page", "score"]

# What to do in Python with a model of each task
_CALLS = {
    "classification": 'model.predict(["cat.jpg"], top=3)',
    "multi-label": 'model.predict(["image.jpg"])',
    "language-modeling": 'model.sample("{prompt}", max_new_tokens=200)',
}
_PROMPTS = {"stdlib": "import", "nietzsche": "the", "tinyshakespeare": "romeo"}


def score(registry: Registry, name: str) -> str:
    """Return the primary metric of published weights with its unit, such as `test accuracy 91.52%`."""
    spec, task = registry.catalog.weights[name], _task(registry, name)
    split, metrics = [*spec.metrics.items()][-1]
    shown = figures({task.primary_metric: metrics[task.primary_metric]}, task.units)
    return f"{split} {shown}".replace(" map ", " mAP ")


def model_page(registry: Registry, name: str, *, in_browser: bool) -> str:
    """Return the page of published weights: their model card, what they produce, and their recipe.

    Args:
        in_browser: whether the page `try/` runs the model.
    """
    page, spec = page_of("weights", name), registry.catalog.weights[name]
    parts = [f"# {name}\n"]
    if in_browser:
        parts.append(f'<a class="md-button" href="../../try/#{name}">Try it in the browser</a>\n')
    use, limits, rest = _card(registry, name, page).partition("## Limits\n")
    parts += [use, *_shown(name, page), limits + rest]
    if (CURVES / f"{name}-curve.png").exists():
        image = link(f"images/weights/{name}-curve.webp", page=page)
        parts.append("## Learning curves\n\nThese curves are from a second training run of the recipe.\n")
        parts.append(f"![Loss, metric and learning rate of {name} by epoch]({image})\n")
    parts += [
        f"## The recipe\n\n{recipe_text(spec.recipe)}",
        f"`zoo train {spec.recipe}` reproduces the weights bit for bit on one thread of the same CPU type.\n",
    ]
    return "\n".join(parts)


def _card(registry: Registry, name: str, page: str) -> str:
    """Return what `zoo card --no-measure` writes below the heading, with links to the pages of entries."""
    spec, task = registry.catalog.weights[name], _task(registry, name).name
    recipe = registry.recipe(spec.recipe)
    entries = {"architecture": recipe.architecture, "task": task, "dataset": recipe.dataset}
    linked = "{architecture} for {task}, trained on {dataset}."
    about = linked.format(**{kind: refer(kind, [entry], page=page) for kind, entry in entries.items()})
    if at_hand(name, spec) is None:  # a source distribution has the small files only
        return f"{recipe.summary}.\n\n{about}\n"
    described = card(name, measure=False, progress=False, registry=registry)
    call = _CALLS[task].format(prompt=_PROMPTS.get(name.partition("-")[0], ""))
    described.fields["python"] = f'import zoo\n\nmodel = zoo.load("{name}")\n{call}'
    text = described.markdown().partition("\n\n")[2]
    text = text.replace(plain(linked.format(**entries)), about, 1)
    return text.replace(r"\&", "&amp;")  # Python-Markdown has no such escape


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


def _task(registry: Registry, name: str) -> TaskSpec:
    return registry.task_of(registry.recipe(registry.catalog.weights[name].recipe))
