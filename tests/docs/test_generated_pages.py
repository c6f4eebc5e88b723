"""The pages that are made from the code say what the code says."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.docs import commands_page, options_page, python_page, weights_page
from zoo.registry.registry import Registry

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


def test_every_training_field_of_every_group_is_on_the_page() -> None:
    fields = Registry.discover().training_fields.values()
    written = (REFERENCE / "options.md").read_text(encoding="utf-8")
    assert "labels" in {field.group for field in fields}
    rows = {
        field.name: f"| `{field.name}` | {field.meaning[0].upper()}{field.meaning[1:]}" for field in fields
    }
    assert [name for name, row in rows.items() if row not in written] == []
