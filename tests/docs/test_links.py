"""Every relative link of every page leads to a file, and every anchor to a heading."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tests.docs.pages import PAGES, ROOT

_LINK = re.compile(r"\]\((?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    slugs: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        slugs.add(next(s for s in (slug, *(f"{slug}-{n}" for n in range(1, 99))) if s not in slugs))
    return slugs


def test_links_lead_somewhere() -> None:
    broken: list[str] = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for link in _LINK.finditer(text):
            if ":" not in link["file"]:
                target = page.parent / link["file"] if link["file"] else page
                if not target.exists():
                    broken.append(f"{page}: {link[0]}: there is no such file")
                elif link["anchor"] and link["anchor"] not in anchors(target):
                    broken.append(f"{page}: {link[0]}: there is no such heading")
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link["file"]).resolve() for link in _LINK.finditer(index) if link["file"]}
    pages = {page for page in PAGES if (ROOT / "docs") in page.parents and page.name != "README.md"}
    assert pages - linked == set()


DECISIONS = sorted((ROOT / "docs" / "contributing" / "decisions").glob("*.md"))


def test_each_decision_has_a_title_of_its_own() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DECISIONS)
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert titles
    assert sorted(title for title in {*titles} if titles.count(title) > 1) == []


def test_nothing_refers_to_a_decision_by_number() -> None:
    sources = [path for folder in ("zoo", "plugins", "tests") for path in (ROOT / folder).rglob("*.py")]
    number = re.compile(r"[Dd]ecision \d")
    named = {path.name for path in [*PAGES, *sources] if number.search(path.read_text(encoding="utf-8"))}
    assert named == set()
