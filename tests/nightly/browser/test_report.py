"""The report of several runs is one page that anybody can read, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.made_runs import make
from tests.nightly.browser.test_accessible import AXE


@pytest.mark.slow
@pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed: `npm install --prefix .venv axe-core`"
)
@pytest.mark.parametrize("width", [360, 1440])
def test_a_report_is_read_from_a_file(browser: Any, tmp_path: Path, width: int) -> None:
    for seed in range(3):
        make(tmp_path / f"runs/a <b> {seed}", seed=seed, lr=0.1)
    make(tmp_path / "runs/other", lr=0.2)
    zoo.report_runs(tmp_path / "runs", tmp_path / "report.html")
    page = browser.new_page(viewport={"width": width, "height": 800})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url.partition(":")[0]))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("tbody tr, table tr").count() == 5
    assert page.get_by_role("cell", name="a <b> 1").is_visible()
    assert page.locator("img").evaluate("(image) => image.naturalWidth") > 800
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert {*requests} <= {"file", "data"}
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert [one["id"] for one in page.evaluate("axe.run(document)")["violations"]] == []
    page.close()
