"""The reference of options says what the code says."""

from __future__ import annotations

from pathlib import Path

from tests.docs.options_page import page

PATH = Path(__file__).parents[2] / "docs" / "reference" / "options.md"


def test_the_page_is_what_the_code_says() -> None:
    command = "python -m tests.docs.options_page > docs/reference/options.md"
    assert PATH.read_text(encoding="utf-8") == page(), f"write it again: {command}"
