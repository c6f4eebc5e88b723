"""The location of each repository file in the site, and the links between pages."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["IN_SITE", "ROOT", "TREE", "link", "outside_code", "place", "rewritten"]

ROOT = Path(__file__).parents[1]
TREE = ROOT / "build" / "docs"

# Folders whose Markdown files and notebooks are pages, besides docs/
IN_SITE = ("benchmarks", "examples", "runtime")
_MOVED = {
    "README.md": "index.md",
    "docs/README.md": "documentation.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
}
_LINK = re.compile(r"(?P<start>\]\()(?P<file>[^)#\s:]*)(?P<anchor>#[^)\s]+)?(?P<end>\))")
# A line of a paragraph before a list, which GitHub reads as such and Zensical only after an empty line
_LIST = re.compile(r"^((?!- | ).*\S)\n(?=- )", re.M)
_FENCE = re.compile(r"(^ *(?P<marks>```+|~~~+).*?^ *(?P=marks)$)", re.S | re.M)


def place(file: str) -> str:
    """Return the location of a file or folder in the site's tree; for code, the page that shows it."""
    if file in _MOVED:
        return _MOVED[file]
    folder, _, rest = file.partition("/")
    if folder == "docs" and file.endswith(".png"):
        return rest.replace(".png", ".webp")
    if folder == "docs":
        return re.sub(r"(^|/)README\.md$", r"\1index.md", rest)
    if folder in IN_SITE and file.endswith((".md", ".ipynb", ".png", ".jpg")):
        return re.sub(r"(^|/)README\.md$", r"\1index.md", file).replace(".ipynb", ".md")
    return f"source/{file}/index.md" if (ROOT / file).is_dir() else f"source/{file}.md"


def link(target: str, *, page: str) -> str:
    """Return the link from a page to a file of the tree; for code, to the repository if it has an address."""
    if target.startswith("source/") and (address := _repository()):
        file = target.removeprefix("source/").removesuffix(".md").removesuffix("/index")
        return f"{address}/{'tree' if (ROOT / file).is_dir() else 'blob'}/main/{file}"
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def rewritten(text: str, *, file: str, page: str) -> tuple[str, set[str]]:
    """Return the Markdown of a repository file with its links adapted to the site.

    Also return the files and folders that it links to, relative to the repository.
    """
    linked: set[str] = set()

    def change(found: re.Match[str]) -> str:
        if not found["file"]:
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), found["file"]))
        linked.add(target)
        return f"{found['start']}{link(place(target), page=page)}{found['anchor'] or ''}{found['end']}"

    parts = (
        part if code else _LINK.sub(change, _LIST.sub(r"\1\n\n", part)) for part, code in outside_code(text)
    )
    return "".join(parts), linked


def outside_code(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of Markdown in order, and whether each is a fenced code block."""
    end = 0
    for fence in _FENCE.finditer(text):
        yield text[end : fence.start()], False
        yield fence[0], True
        end = fence.end()
    yield text[end:], False


def _repository() -> str:
    """Return the repository's address from pyproject.toml; empty if it has none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/")
