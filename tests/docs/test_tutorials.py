"""The tutorials are done from top to bottom, offline and in an empty folder, as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import HOW_TO, PAGES, ROOT, TUTORIALS, blocks
from tests.docs.reader import do

COMPLETE = [
    pytest.param(block.text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.text.startswith("import zoo\n") and page not in {*TUTORIALS, *HOW_TO}
]


@pytest.mark.nightly  # they train for a minute or two
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks(page):
        do(block, tmp_path, namespace)


@pytest.mark.nightly
@pytest.mark.parametrize("code", COMPLETE)
def test_a_complete_example_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<page>", "exec"), {})
