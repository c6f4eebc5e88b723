"""The pages that are made from the code say what the code says."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.docs import commands_page, options_page, python_page, weights_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = {
    "options": options_page,
    "commands": commands_page,
    "python": python_page,
    "weights": weights_page,
}


@pytest.mark.parametrize(("name", "module"), PAGES.items())
def test_the_page_is_what_the_code_says(name: str, module: ModuleType) -> None:
    written = (REFERENCE / f"{name}.md").read_text(encoding="utf-8")
    assert written == module.page(), f"write it again: python -m {module.__name__} > docs/reference/{name}.md"
