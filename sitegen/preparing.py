"""The source tree of the site: pages copied from the repository, and pages that are generated."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

from PIL import Image

from sitegen.gallery import make_gallery, with_links
from sitegen.nav import INSTALL, Item, navigation
from sitegen.notebook import as_markdown
from sitegen.places import IN_SITE, ROOT, TREE, outside_code, place, rewritten
from sitegen.python_api import python_pages
from sitegen.sources import files_in, row, show

__all__ = ["prepare"]

STYLE = Path(__file__).parent / "zoo.css"
MARK = ROOT / "zoo" / "tools" / "serve" / "page" / "mark.svg"
# The title of the home page in a browser's tab and in a list of results
_TITLE = "Small PyTorch models to train, measure and inspect"
# Pages that the search leaves out, besides the gallery's indexes, because other pages answer what users ask:
# those for contributors, those of a single class, and the gallery's pages that repeat the reference
UNSEARCHED = (
    *("benchmarks/", "contributing/", "project/contributing.md", "reference/api/"),
    *("gallery/commands/", "gallery/options/", "gallery/groups/"),
)
_SECTION = re.compile(r"^(##+ [^{\n]+)$", re.M)
# A link on the home page; Markdown's would be checked before the page is there
_TRY = '\n<a class="md-button" href="try/">Try four models in your browser</a>\n'


def prepare(*, runs_in_browser: frozenset[str] = frozenset()) -> list[str]:
    """Rewrite the whole tree, and return its pages.

    Args:
        runs_in_browser: ids of the weights that the page `try/` runs.
    """
    shutil.rmtree(TREE, ignore_errors=True)
    _copy_images()
    _write("assets/zoo.css", STYLE.read_text(encoding="utf-8"))
    _write("assets/mark.svg", MARK.read_text(encoding="utf-8"))
    linked = _copy_pages(home=_TRY if runs_in_browser else "")
    gallery = make_gallery(runs_in_browser)
    api = python_pages()
    for page, text in (gallery.pages | api.pages).items():
        _write(page, text)
    examples, code = _write_examples()
    _write_sources(linked | gallery.linked | api.linked | code)
    more: dict[str, list[Item]] = {
        "How-to": [("Examples", examples)],
        "Gallery": gallery.items,
        "Reference": [("Python by class", api.items)],
        "Contributing": [
            ("Contribute", place("CONTRIBUTING.md")),
            ("Security", place("SECURITY.md")),
            ("Changelog", place("CHANGELOG.md")),
            ("Benchmarks", place("benchmarks/README.md")),
        ],
    }
    _write("SUMMARY.md", navigation(more))
    return sorted(str(path.relative_to(TREE)) for path in TREE.rglob("*.md") if path.name != "SUMMARY.md")


def _copy_images() -> None:
    """Copy the images as WebP files, which are a fifth of the size."""
    for path in (ROOT / "docs" / "images").rglob("*.png"):
        copy = TREE / place(str(path.relative_to(ROOT)))
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(copy, quality=80, method=4)


def _copy_pages(*, home: str) -> set[str]:
    """Copy the documentation and the examples, and return the files that they link to.

    Args:
        home: Markdown to insert on the home page, before the second heading.
    """
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    files += [path for folder in IN_SITE for path in sorted((ROOT / folder).rglob("README.md"))]
    linked: set[str] = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path == ROOT / "README.md":
            text = f"---\ntitle: {_TITLE}\n---\n\n" + text.replace("\n## ", f"{home}\n## ", 1)
        if (
            path.name == "troubleshooting.md"
        ):  # messages are wrapped, unlike other code that a table begins with
            text = f'<div class="messages" markdown>\n\n{text}\n</div>\n'
        linked |= _copy(str(path.relative_to(ROOT)), text)
    linked |= _copy("README.md", _install_section(), page=INSTALL)
    for path in (*(ROOT / "examples").glob("*.ipynb"), *(ROOT / "examples" / "lessons").glob("*.ipynb")):
        text, images = as_markdown(path)
        linked |= _copy(str(path.relative_to(ROOT)), text)
        for name, content in images.items():
            (TREE / path.relative_to(ROOT)).with_name(name).write_bytes(content)
    return linked


def _install_section() -> str:
    """Return the installation section of README.md as a separate page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Install\n")[2].partition("\n## ")[0]
    assert section, "README.md has no section `## Install`"
    return f"# Install\n{section}\n"


def _copy(file: str, text: str, *, page: str = "") -> set[str]:
    page = page or place(file)
    text, linked = rewritten(text, file=file, page=page)
    _write(page, with_links(text) if file == "docs/reference/weights.md" else text)
    return linked


def _write_examples() -> tuple[list[Item], set[str]]:
    """Add each example's files to its page; return the pages for the navigation, and the files."""
    items: list[Item] = [
        ("Examples", place("examples/README.md")),
        ("Notebook", place("examples/notebook.ipynb")),
        ("Notebook: your own class", place("examples/own-model.ipynb")),
        ("A course from scratch", place("examples/lessons/README.md")),
        ("Exercises: text", place("examples/lessons/text.ipynb")),
        ("Exercises: images", place("examples/lessons/images.ipynb")),
    ]
    linked: set[str] = set()
    for project in sorted((ROOT / "examples").glob("*/pyproject.toml")):
        name, page = project.parent.name, f"examples/{project.parent.name}/index.md"
        about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["description"]
        path = TREE / page
        start = path.read_text(encoding="utf-8") if path.exists() else f"# {name}\n\n{about}.\n"
        files = [str(project.relative_to(ROOT))]
        files += sorted(str(each.relative_to(ROOT)) for each in project.parent.rglob("*.py"))
        _write(page, f"{start}\n## Files\n\n{''.join(row(file, page) for file in files)}")
        items.append((name, page))
        linked.update(files)
    return items, linked


def _write_sources(linked: set[str]) -> None:
    """Write a page for each source file in `linked`, for each folder, and for the files in the folder.

    A plugin's file is shown with all files of its folder, since it imports from these.
    """
    folders = {file for file in linked if (ROOT / file).is_dir()}
    folders |= {file.rpartition("/")[0] for file in linked - folders if file.startswith("plugins/")}
    files = linked | folders | {file for folder in folders for file in files_in(folder)}
    for file in sorted(files):
        page = place(file)
        if page.startswith("source/"):
            _write(page, show(file))


def _write(page: str, text: str) -> None:
    path = TREE / page
    path.parent.mkdir(parents=True, exist_ok=True)
    in_gallery = page.startswith("gallery/")
    if in_gallery:  # the sections of its pages have the same titles
        hidden = r"\1 { data-search-exclude }"
        text = "".join(part if code else _SECTION.sub(hidden, part) for part, code in outside_code(text))
    if page.startswith(UNSEARCHED) or (in_gallery and page.endswith("/index.md")):
        text = f"---\nsearch:\n  exclude: true\n---\n\n{text}"
    path.write_text(text, encoding="utf-8")
