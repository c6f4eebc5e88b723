"""The files of the page: complete, and such that the strict policy holds and data never becomes HTML."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "zoo/tools/serve/page"
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
MODULES = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}


def test_every_file_is_used_and_every_file_that_is_used_is_there() -> None:
    linked = set(re.findall(r'(?:href|src)="([^"#]+)"', HTML)) - {"openapi.json"}
    imported = {name for text in MODULES.values() for name in re.findall(r'from "\./(.+?)"', text)}
    assert linked | imported | {"index.html"} == {path.name for path in PAGE.iterdir()}


def test_there_is_no_inline_script_and_no_inline_style() -> None:
    assert re.findall(r"<script(?! type=\"module\" src=)", HTML) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", HTML) == []


def test_data_never_becomes_html_or_code() -> None:
    ways = r"(inner|outer|Adjacent)HTML|document\.write|createContextualFragment|\beval\b|new Function"
    for name, text in MODULES.items():
        assert re.findall(ways, text) == [], name


def test_no_file_names_another_host() -> None:
    for path in PAGE.iterdir():
        urls = re.findall(r"\w+://[^\"'\s]+", path.read_text(encoding="utf-8"))
        assert set(urls) <= {"http://www.w3.org/2000/svg"}, path.name


def test_each_module_says_what_it_does() -> None:
    for name, text in MODULES.items():
        assert re.match(r"// [A-Z].*\.", text), name
