"""What is here runs by night, but for the tests marked `slow`, which each change waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.nightly)
