"""zoo is not on PyPI: nothing may tell anyone to install a name that somebody else may own.

An extra of a distribution is told to those who have installed that: pip keeps it, and adds what it lacks.
"""

from __future__ import annotations

import re

from tests.docs.pages import PAGES, ROOT

TOLD = [
    *PAGES,
    *(path for folder in ("zoo", "plugins", "examples") for path in sorted((ROOT / folder).rglob("*.py"))),
    *sorted((ROOT / "zoo" / "testing" / "templates").rglob("*.txt")),
    ROOT / "Makefile",
]
NOTEBOOKS = {"nbclient", "jupyterlab"}
"""Packages on PyPI that execute or open zoo's notebooks."""


def test_pip_is_only_told_where_something_is() -> None:
    for path in TOLD:
        text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
        for told in re.finditer(r"pip install (?P<rest>.{0,80})", text):
            words = told["rest"].split("`")[0].split()
            flags = {word for word in words if word.startswith("-")}
            named = next((word.strip("'\"") for word in words if not word.startswith("-")), "")
            local = named.startswith((".", "/", "$")) or flags & {"-e", "--editable"}
            extra = re.fullmatch(r".+\[.+\]", named)
            assert local or extra or named in NOTEBOOKS, (path, told[0])
