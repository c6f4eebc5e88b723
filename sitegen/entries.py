"""The gallery's pages of architectures, datasets, analyzers, tasks, recipes, and other entries of plugins."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sitegen.places import ROOT, link, place
from sitegen.sources import summary
from tests.docs import options_page
from tests.docs.weights_page import by_dataset
from zoo.api.entry_description import describe
from zoo.cli.flags import flag_of
from zoo.config import options
from zoo.registry.registry import Registry
from zoo.registry.specs import FieldsSpec

__all__ = [
    "IMAGES",
    "KINDS",
    "entry_page",
    "names_of",
    "page_of",
    "picture",
    "recipe_text",
    "refer",
    "short",
]

# The kinds of entries that the gallery has a folder for, with their titles
KINDS = {
    "weights": "Trained models",
    "architecture": "Architectures",
    "dataset": "Datasets",
    "task": "Tasks",
    "analyzer": "Analyzers",
    "recipe": "Recipes",
    "optimizer": "Optimizers",
    "schedule": "Learning-rate schedules",
    "augmentation": "Augmentations",
    "metric": "Metrics and losses",
    "exporter": "Exporters",
    "tracker": "Trackers",
    "group": "Groups of training options",
}
# Images of entries, and those of analyzers that other pages show too
IMAGES = "images/entries"
_ELSEWHERE = {
    "confusion": "images/confusion",
    "neighbors": "images/neighbors",
    "activations": "images/activations-norm-batchnorm",
}
Facts = Mapping[str, Any]
# Plugins with a thousand entries
WITHOUT_PAGES = ("timm",)


def short(name: str) -> str:
    """Return the name of an entry without its plugin."""
    return name.rpartition("/")[2]


def page_of(kind: str, name: str) -> str:
    """Return the page of an entry in the site's tree."""
    folder = kind if kind.endswith("s") else f"{kind}s"
    return f"gallery/{folder}/{short(name).replace('+', '-plus')}.md"


def names_of(registry: Registry, kind: str) -> list[str]:
    """Return the full names of zoo's own entries of a kind; trained models are ordered by dataset."""
    if kind == "weights":
        return [name for published in by_dataset(registry).values() for name in published]
    if kind == "recipe":
        return [*registry.catalog.recipes]
    ours = [entry for entry in registry.entries(kind) if entry.plugin.ours]  # type: ignore[arg-type]
    return [entry.name for entry in ours if entry.plugin.name not in WITHOUT_PAGES]


def refer(kind: str, names: Iterable[str], *, page: str) -> str:
    """Return links to the pages of entries, separated by commas."""
    having = [name for name in names if name.partition("/")[0] not in WITHOUT_PAGES]
    return ", ".join(f"[{short(name)}]({link(page_of(kind, name), page=page)})" for name in having)


def table(pairs: Iterable[tuple[str, object]]) -> str:
    """Return labeled facts as a table, without empty facts."""
    rows = "".join(f"| {label} | {fact} |\n" for label, fact in pairs if fact not in ("", None))
    return f"| property | value |\n|---|---|\n{rows}"


def picture(kind: str, name: str) -> str:
    """Return the path of an entry's image in the site's tree; empty if the entry has no image."""
    own = f"{'images/weights/' if kind == 'weights' else f'{IMAGES}/{kind}-'}{short(name)}"
    others = _ELSEWHERE if kind == "analyzer" else {}
    file = f"docs/{others.get(short(name), own)}.png"
    return place(file) if (ROOT / file).exists() else ""


def recipe_text(name: str) -> str:
    """Return a recipe in the format of registry.toml."""
    text = (ROOT / "registry.toml").read_text(encoding="utf-8")
    found = re.search(rf"^\[recipes\.{re.escape(name)}\]\n(?:\S.*\n)+", text, re.M)
    assert found is not None, name
    return f"```toml\n{found[0]}```\n"


def entry_page(registry: Registry, kind: str, name: str) -> tuple[str, set[str]]:
    """Return the page of an entry, and the source files that it links to."""
    page = page_of(kind, name)
    facts = describe(name, registry, kind=kind)
    files = _files(registry, kind, name)
    parts = [f"# {short(name)}\n", f"{_sentence(facts['summary'])}\n", *_picture(kind, name, page)]
    parts += _PARTS[kind](registry, facts, page)
    parts += _code(files, page, shown=kind in ("architecture", "analyzer"))
    return "\n".join(parts), {*files}


def _architecture(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name = short(facts["name"])
    tasks = registry.served_from(facts["task"].partition(",")[0])
    yield table(
        [
            ("tasks", refer("task", tasks, page=page)),
            ("parameters", f"{facts['parameters']:,}"),
            ("FLOPs of one input", f"{facts['flops']:,}" if facts.get("flops") else ""),
            ("counted with", ", ".join(f"`{key}={value}`" for key, value in facts["measured_at"].items())),
            ("smallest image", f"{facts['smallest_image']} pixels" if facts["smallest_image"] else ""),
            ("layers for analyzers", ", ".join(f"`{key}`: `{at}`" for key, at in facts["landmarks"].items())),
            ("source", facts["source"]),
        ]
    )
    dataset = "nietzsche" if "language-modeling" in tasks else "cifar10"
    dims = ", ".join(f"{key}={value}" for key, value in facts["measured_at"].items())
    yield _use(
        f"zoo train {name} {dataset}", f'module = zoo.create_model("{name}", {dims})  # a plain nn.Module'
    )
    yield from _option_table(registry, facts, "--model KEY=VALUE")
    if facts["training"]:
        usual = ", ".join(f"`{key}={options.text(value)}`" for key, value in facts["training"].items())
        yield f"## Default training options\n\nOptions that differ from zoo's defaults: {usual}.\n"
    trained = [
        each for each, spec in registry.catalog.weights.items() if _built_by(registry, spec, facts["name"])
    ]
    if trained:
        yield f"## Trained models\n\n{refer('weights', trained, page=page)}\n"
    if facts["analyzers"]:
        yield f"## Compatible analyzers\n\n{refer('analyzer', facts['analyzers'], page=page)}\n"


def _dataset(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name = short(facts["name"])
    made_here = not facts["download_bytes"] and not facts["required"]
    splits = facts.get("splits", {}) if made_here else {}
    yield table(
        [
            ("task", refer("task", [facts["task"]], page=page)),
            *((split, _counts(counts)) for split, counts in splits.items()),
            ("classes", ", ".join(facts.get("classes", [])) if made_here else ""),
            ("download", f"{facts['download_bytes'] / 1e6:,.1f} MB" if facts["download_bytes"] else "none"),
            ("license", facts["license"]),
            ("source", facts["source"]),
        ]
    )
    given = {"root": "images", "paths": "my.txt"}
    needed = {key: given.get(key, "...") for key in facts["required"]}
    typed = "".join(f" --data {key}={value}" for key, value in needed.items())
    passed = "".join(f', {key}="{value}"' for key, value in needed.items())
    model = "lstm" if "language-modeling" in facts["task"] else "resnet20"
    yield _use(f"zoo train {model} {name}{typed}", f'data = zoo.open_dataset("{name}"{passed})')
    yield from _option_table(registry, facts, "--data KEY=VALUE")
    on_it = [each for each, recipe in registry.catalog.recipes.items() if recipe.dataset == facts["name"]]
    if on_it:
        yield f"## Recipes\n\n{refer('recipe', on_it, page=page)}\n"
    trained = [each for each in names_of(registry, "weights") if _recipe_of(registry, each) in on_it]
    if trained:
        yield f"## Trained models\n\n{refer('weights', trained, page=page)}\n"


def _analyzer(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name = short(facts["name"])
    yield table(
        [
            ("tasks", refer("task", facts["task"].split(", "), page=page)),
            ("required layers", ", ".join(f"`{need}`".replace("|", "` or `") for need in facts["needs"])),
            ("does not depend on", ", ".join(facts["ignores"])),
            ("compares with", f"the {facts['reference']} split" if facts["reference"] else ""),
            ("source", facts["source"]),
        ]
    )
    model = "nietzsche-lstm" if facts["task"] == "language-modeling" else "shapes-camnet"
    yield _use(f"zoo analyze {name} {model}", f'findings = zoo.load("{model}").analyze("{name}")')
    yield from _option_table(registry, facts, "--option KEY=VALUE")
    yield f"## Compatible architectures\n\n{refer('architecture', facts['architectures'], page=page)}\n"


def _recipe(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name = facts["name"]
    trained = [each for each, spec in registry.catalog.weights.items() if spec.recipe == name]
    yield table(
        [
            ("architecture", refer("architecture", [facts["architecture"]], page=page)),
            ("dataset", refer("dataset", [facts["dataset"]], page=page)),
            ("starts from", refer("weights", filter(None, [facts["from_weights"]]), page=page)),
            ("trained model", refer("weights", trained, page=page)),
        ]
    )
    yield _use(f"zoo train {name}", f'run = zoo.train("{name}")')
    yield f"## The recipe\n\n{recipe_text(name)}"


def _task(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    better = "higher" if facts["primary_metric"] in facts["higher_is_better"] else "lower"
    yield table(
        [
            ("primary metric", f"{facts['primary_metric'].replace('_', ' ')}, {better} is better"),
            ("dimensions", ", ".join(f"`{key}`" for key in facts["dims"])),
            ("training options", refer("group", facts["groups"], page=page)),
        ]
    )
    for kind, names in facts["entries"].items():
        yield f"## {KINDS[kind]}\n\n{refer(kind, names, page=page)}\n"


def _group(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    yield table([("tasks", refer("task", facts["tasks"], page=page))])
    rows = "".join(f"| `{flag_of(field['name'])}` | {field['meaning']} |\n" for field in facts["fields"])
    yield f"| option | meaning |\n|---|---|\n{rows}"
    yield f"[All training options]({link('reference/options.md', page=page)})\n"


def _exporter(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name = short(facts["name"])
    reading = "written and read" if facts["reader"] else "written"
    extra = f"`pip install -e '.[{facts['extra']}]'` in a clone of zoo" if facts["extra"] else ""
    yield table([("files", f"`{facts['suffix']}`, {reading}"), ("requires", extra)])
    file = f"model{facts['suffix']}"
    yield _use(f"zoo export cifar10-resnet20 --to {name}", f'zoo.load("cifar10-resnet20").export("{file}")')
    yield f"[How to export]({link('how-to/export.md', page=page)})\n"


def _method(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name, kind = short(facts["name"]), facts["kind"]
    flag = {"augmentation": "augment"}.get(kind, kind)
    values = {"augmentation": f'augment=["{name}"]', "metric": f'metrics=["{name}"]'}
    if kind == "metric" and name.endswith("-loss"):
        flag, values = "loss", {"metric": f'loss="{name}"'}
    texts = "language-modeling" in facts.get("tasks", ())
    architecture, dataset = ("lstm", "stdlib") if texts else ("mlp", "shapes")
    yield _use(
        f"zoo train {architecture} {dataset} --{flag} {name}",
        f'zoo.train("{architecture}", "{dataset}", {values.get(kind, f"""{flag}="{name}" """.strip())})',
    )
    yield f"[How to choose one]({link('how-to/optimizers.md', page=page)})\n"


def _tracker(registry: Registry, facts: Facts, page: str) -> Iterator[str]:
    name, extra = short(facts["name"]), f"`pip install -e '.[{facts['extra']}]'` in a clone of zoo"
    yield table([("requires", extra)])
    yield f"## Use it\n\n```sh\nzoo track runs/lstm-nietzsche --to {name}\n```\n"
    yield f"[How to track runs]({link('how-to/track.md', page=page)})\n"


_PARTS: Mapping[str, Callable[[Registry, Facts, str], Iterator[str]]] = {
    "architecture": _architecture,
    "dataset": _dataset,
    "analyzer": _analyzer,
    "recipe": _recipe,
    "task": _task,
    "group": _group,
    "optimizer": _method,
    "schedule": _method,
    "augmentation": _method,
    "metric": _method,
    "exporter": _exporter,
    "tracker": _tracker,
}


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _use(command: str, python: str) -> str:
    return f"## Use it\n\n```sh\n{command}\n```\n\n```python\nimport zoo\n\n{python}\n```\n"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _option_table(registry: Registry, facts: Facts, flag: str) -> Iterator[str]:
    rows = options_page.rows(registry.entry(facts["kind"], facts["name"]), registry)
    preset = {key: options.text(value) for key, value in facts["config"].items()} if "config" in facts else {}
    rows = [row._replace(default=f"`{preset[row.name]}`") if row.name in preset else row for row in rows]
    if rows:
        yield f"## Options\n\nOn the command line: `{flag}`.\n\n{options_page.table(rows)}"


def _built_by(registry: Registry, spec: Any, architecture: str) -> bool:
    return registry.recipe(spec.recipe).architecture == architecture


def _recipe_of(registry: Registry, weights: str) -> str:
    return registry.catalog.weights[weights].recipe


def _picture(kind: str, name: str, page: str) -> Iterator[str]:
    if image := picture(kind, name):
        about = "Examples" if kind == "dataset" else "Example output"
        yield f"![{about}]({link(image, page=page)})\n"


def _files(registry: Registry, kind: str, name: str) -> list[str]:
    """Return the source file of an entry, relative to the repository.

    The result is empty for recipes and weights, and for code of a library, such as an optimizer of torch.
    """
    if kind in ("recipe", "weights"):
        return []
    spec = registry.entry(kind, name).spec  # type: ignore[arg-type]
    code = spec.fields if isinstance(spec, FieldsSpec) else spec.load()
    path = Path(inspect.getfile(inspect.unwrap(getattr(code, "callback", code)))).resolve()
    ours = "site-packages" not in path.parts and path.is_relative_to(ROOT)
    return [str(path.relative_to(ROOT))] if ours else []


def _code(files: Iterable[str], page: str, *, shown: bool) -> Iterator[str]:
    for file in files:
        about = summary(file)
        yield "## Code { data-search-exclude }\n"
        yield f"[`{file}`]({link(place(file), page=page)}){f': {about}' if about else ''}\n"
        if shown:
            yield f"```python\n{(ROOT / file).read_text(encoding='utf-8').rstrip()}\n```\n"
