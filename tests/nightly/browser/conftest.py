"""Debian's Chromium, a real server, and a page under the strict policy whose requests and errors are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sitegen import browser as sitegen_browser
from tests.nightly.browser.serving import FileServer, Server, tiny_run
from tests.nightly.browser.visits import Visit


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


@pytest.fixture(scope="session")
def site(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return a server of static files that run classifiers and a language model in the browser."""
    for extra in ("fastapi", "onnxscript"):
        pytest.importorskip(extra, reason="the extras `export` and `serve` are not installed")
    folder = tmp_path_factory.mktemp("site") / "try"
    try:
        sitegen_browser.build(folder, ["cifar10-resnet20", "nietzsche-rnn", str(run)])
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with FileServer(folder) as server:
        yield server


@pytest.fixture
def tried(browser: Any, site: FileServer) -> Iterator[Visit]:
    """Return a visit to the static page, under its own policy, which must end as `visit` does."""
    with Visit(browser, site.url, policy="") as visit:
        yield visit
        visit.check()
