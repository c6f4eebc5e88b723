"""The navigation, from the groups and links of docs/README.md; generated pages are added."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sitegen.places import ROOT, place

__all__ = ["INSTALL", "Item", "navigation", "sections"]

# The page of the tree that repeats how README.md says to install zoo
INSTALL = "install.md"
# A title with the page of the site's tree that it leads to, or with items of its own
Item = tuple[str, "str | Sequence[Item]"]

_ROW = re.compile(r"^\| \[(?P<title>[^]]+)\]\((?P<file>[^)#]+)\)")
_BY_READER = ("Start", "How-to", "Gallery", "Reference", "Explanation", "Contributing")


def navigation(more: dict[str, list[Item]]) -> str:
    """Return the navigation as nested lists of links.

    Args:
        more: items to add, by the title of an existing or new section. They come last in their section,
            except in the section on contributing, where they come first.
    """
    found = sections((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    found = {
        "Start": [
            ("Home", "index.md"),
            ("Install", INSTALL),
            *found.pop("Tutorials"),
            ("All pages", "documentation.md"),
        ]
    } | found
    for title, items in more.items():
        own = found.get(title, [])
        found[title] = [*items, *own] if title == "Contributing" else [*own, *items]
    order = sorted(found, key=lambda title: (*_BY_READER, title).index(title))
    return "".join(_lines([(title, found[title]) for title in order]))


def sections(index: str) -> dict[str, list[Item]]:
    """Return the links in the tables of docs/README.md, by section; a line in bold starts a group."""
    found: dict[str, list[Item]] = {}
    items: list[Item] = []
    for line in index.splitlines():
        if line.startswith("## "):
            items = found.setdefault(line.removeprefix("## ").partition(":")[0], [])
        elif group := re.fullmatch(r"\*\*(.+)\*\*", line):
            section = [*found.values()][-1]
            items = []
            section.append((group[1], items))
        elif row := _ROW.match(line):
            items.append((row["title"], place(str(Path("docs", row["file"])))))
    return found


def _lines(items: Iterable[Item], indent: str = "") -> Iterable[str]:
    for title, target in items:
        if isinstance(target, str):
            yield f"{indent}* [{title}]({target})\n"
        else:
            yield f"{indent}* {title}\n"
            yield from _lines(target, f"{indent}    ")
