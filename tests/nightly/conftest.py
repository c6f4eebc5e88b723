"""What is here runs by night, but for the tests marked `slow`, which each change waits for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nightly.browser.serving import chromium

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.nightly)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return Chromium, one for all tests of a process: a second driver could not start beside it."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if (program := chromium()) is None:
        pytest.skip("there is no Chromium: `apt-get install chromium`")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
