"""Checks of the built site: every page exists, and every internal link has a target."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links", "built", "missing_pages"]


# The page that runs models reads what to show from the fragment of its address
_ROUTED = "try/"


class _Page(HTMLParser):
    """The links on a page, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.targets += [given[name] for name in ("href", "src") if given.get(name)]


def built(page: str) -> str:
    """Return the file of the built site for a page of its tree."""
    stem = page.removesuffix(".md")
    return "index.html" if stem == "index" else f"{stem.removesuffix('/index')}/index.html"


def missing_pages(site: Path, pages: Iterable[str]) -> list[str]:
    """Return the pages of the tree that were not built."""
    return [page for page in pages if not (site / built(page)).is_file()]


def broken_links(site: Path) -> list[str]:
    """Return each internal link, image, script and style sheet without a target, with its page.

    Links to other hosts are not followed.
    """
    pages = {
        str(path.relative_to(site)): _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    return [f"{page}: {target}" for page in sorted(pages) for target in _broken(site, pages, page)]


def _broken(site: Path, pages: dict[str, _Page], page: str) -> Iterator[str]:
    for target in dict.fromkeys(pages[page].targets):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        path = unquote(parts.path)
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        if path.startswith("/"):  # of the page for an unknown address, which is served anywhere
            file = path.lstrip("/") or "index.html"
        if (site / file).is_dir():
            file = posixpath.normpath(posixpath.join(file, "index.html"))
        anchor = "" if file.startswith(_ROUTED) else unquote(parts.fragment)
        if not (site / file).is_file() or (anchor and file in pages and anchor not in pages[file].anchors):
            yield target
