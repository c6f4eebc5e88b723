"""The gallery: a page for each entry that zoo lists, an index for each kind, and an index of all entries."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sitegen.entries import KINDS, entry_page, names_of, page_of, picture, short
from sitegen.models import model_page, score
from sitegen.nav import Item
from sitegen.places import link
from tests.docs.weights_page import TITLES, USES, by_dataset
from zoo.api.entry_lists import rows
from zoo.registry.registry import Registry

__all__ = ["Gallery", "make_gallery", "with_links"]

INDEX = "gallery/index.md"
IN_BROWSER = "gallery/in-the-browser.md"
_IN_BROWSER = """\
# Try models in the browser

These models run in your browser, on your machine. Your texts and images are not sent anywhere. Your browser
downloads the runtime and a model when you first use the model.

"""


@dataclass(frozen=True)
class Gallery:
    """The contents of the gallery: its pages, the source files that they link to, and its navigation."""

    pages: dict[str, str] = field(default_factory=dict[str, str])
    linked: set[str] = field(default_factory=set[str])
    items: list[Item] = field(default_factory=list[Item])


def make_gallery(runs_in_browser: frozenset[str]) -> Gallery:
    """Return the gallery.

    Args:
        runs_in_browser: ids of the weights that the page `try/` runs.
    """
    registry = Registry.discover()
    made = Gallery()
    made.items.append(("Gallery", INDEX))
    if runs_in_browser:
        lines = [
            f'- <a href="../try/#{name}">{name}</a>: {score(registry, name)}\n' for name in runs_in_browser
        ]
        made.pages[IN_BROWSER] = _IN_BROWSER + "".join(sorted(lines))
        made.items.append(("Try in the browser", IN_BROWSER))
    for kind, title in KINDS.items():
        names = names_of(registry, kind)
        for name in names:
            if kind == "weights":
                text, files = model_page(registry, name, in_browser=name in runs_in_browser), set[str]()
            else:
                text, files = entry_page(registry, kind, name)
            made.pages[page_of(kind, name)] = text
            made.linked.update(files)
        index = re.sub(r"[^/]+$", "index.md", page_of(kind, names[0]))
        made.pages[index] = f"# {title}\n\n{_cards(registry, kind, index)}"
        items: list[Item] = [(short(name), page_of(kind, name)) for name in names]
        made.items.append((title, [(title, index), *items]))
    made.pages[INDEX] = _index(registry)
    return made


def with_links(text: str) -> str:
    """Return docs/reference/weights.md with a link from each row to the page of the model."""
    return re.sub(r"^\| `([\w-]+)` \|", r"| [`\1`](../gallery/weights/\1.md) |", text, flags=re.M)


def _index(registry: Registry) -> str:
    parts = [
        "# Gallery\n",
        "Everything that zoo lists: trained models, and the components for training your own.\n",
    ]
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n\n{_cards(registry, kind, INDEX)}")
    return "\n".join(parts)


def _cards(registry: Registry, kind: str, page: str) -> str:
    """Return a card for each entry of a kind; trained models are grouped by their dataset."""
    if kind != "weights":
        about = {row["name"]: row["summary"] for row in rows(registry, kind)}
        return _grid(_card(kind, name, about[name], page) for name in names_of(registry, kind))
    level = "###" if page == INDEX else "##"
    groups = by_dataset(registry)
    return "\n".join(
        f"{level} {TITLES[dataset]}\n\n"
        + _grid(
            _card(kind, name, f"{score(registry, name)}, {spec.params:,} parameters", page)
            for name, (spec, _, _) in published.items()
        )
        for dataset, published in groups.items()
    )


def _grid(cards: Iterable[str]) -> str:
    return f'<div class="cards" markdown>\n\n{"".join(cards)}\n</div>\n'


def _card(kind: str, name: str, about: str, page: str) -> str:
    """Return an entry's card.

    Its thumbnail is an image that the entry draws, or the beginning of generated text.
    """
    thumbnail = ""
    if image := picture(kind, name):
        thumbnail = f"![]({link(image, page=page)}){{ loading=lazy }}"
    elif kind == "weights" and (USES / f"{name}.txt").exists():
        text = (USES / f"{name}.txt").read_text(encoding="utf-8")
        thumbnail = f"<pre>{html.escape(text[:130])}</pre>"
    title = f"[{short(name)}]({link(page_of(kind, name), page=page)})"
    return f'<div class="card" markdown>\n{thumbnail}\n\n**{title}**\n\n{about}\n</div>\n\n'
