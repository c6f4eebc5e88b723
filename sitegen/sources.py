"""Pages that show a file of the repository, or list a folder."""

from __future__ import annotations

import ast
from pathlib import Path

from sitegen.places import ROOT, link, place

__all__ = ["files_in", "row", "show", "summary"]

# The languages of blocks of code, by the suffix of the file
_LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
    ".toml": "toml",
    ".js": "javascript",
    ".css": "css",
    ".sh": "bash",
}
START = """\
---
title: "{title}"
search:
  exclude: true
hide:
  - toc
---

# `{title}`

"""


def show(file: str) -> str:
    """Return the page of a file or a folder, named relative to the repository."""
    page = place(file)
    if (ROOT / file).is_dir():
        return START.format(title=f"{file}/") + "".join(
            row(each, page, each.rpartition("/")[2]) for each in files_in(file)
        )
    text = (ROOT / file).read_text(encoding="utf-8")
    language = _LANGUAGES.get(Path(file).suffix, "text")
    start = START.format(title=file) + _folder(file, page)
    return f'{start}````{language} {{ linenums="1" }}\n{text.rstrip()}\n````\n'


def _folder(file: str, page: str) -> str:
    """Return a link to the other files of a plugin."""
    folder = file.rpartition("/")[0]
    if not folder.startswith("plugins/"):
        return ""
    return f"All files of [`{folder}/`]({link(place(folder), page=page)})\n\n"


def files_in(folder: str) -> list[str]:
    """Return the source files in a folder, without its subfolders."""
    suffixes = {*_LANGUAGES} - {".css"}
    found = (path for path in (ROOT / folder).iterdir() if path.suffix in suffixes)
    return sorted(str(path.relative_to(ROOT)) for path in found)


def summary(file: str) -> str:
    """Return the first line of the docstring of a Python file; empty if there is none."""
    path = ROOT / file
    if path.suffix not in (".py", ".pyi"):
        return ""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def row(file: str, page: str, name: str = "") -> str:
    """Return a line of a list on a page: a link to a file, and the first line of its docstring."""
    about = summary(file)
    return f"- [`{name or file}`]({link(place(file), page=page)}){f': {about}' if about else ''}\n"
