"""Debian's Chromium, a real server, and a page under the strict policy whose requests and errors are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nightly.browser.serving import Server, chromium, tiny_run
from tests.nightly.browser.visits import Visit


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if (program := chromium()) is None:
        pytest.skip("there is no Chromium: `apt-get install chromium`")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory `shapes-tiny`."""
    return tiny_run(tmp_path_factory.mktemp("runs") / "shapes-tiny")


@pytest.fixture(scope="session")
def server(run: Path) -> Iterator[Server]:
    """Return a process that serves a classifier, a language model and a run directory."""
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    with Server("cifar10-resnet20", "nietzsche-rnn", str(run)) as server:
        yield server


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Visit]:
    """Return a visit to the page, which must end without errors and without requests to other hosts."""
    with Visit(browser, server.url) as visit:
        yield visit
        visit.check()
