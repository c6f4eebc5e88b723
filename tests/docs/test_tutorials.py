"""The tutorials are done from top to bottom, offline and in an empty folder, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, TUTORIALS, Block, blocks

COMPLETE = [
    pytest.param(block.text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.language == "python" and block.text.startswith("import zoo\n") and page not in TUTORIALS
]
# A reader's `zoo` is that of this repository, and `make demo` what it runs once everything is installed
SHELL = 'set -euo pipefail\nzoo() {{ "{python}" -m zoo "$@"; }}\npython() {{ "{python}" "$@"; }}\n'


def demo() -> str:
    """Return the commands of `make demo`."""
    (commands,) = re.findall(
        r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
    )
    return re.sub(r"^\t@?", "", commands.replace("$(BIN)/", "").replace("$$", "$"), flags=re.M)


def do(block: Block, folder: Path, namespace: dict[str, object]) -> None:
    """Write the file that a block is, or run its commands."""
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, "<page>", "exec"), namespace)
    elif block.script:
        script = re.sub(r"^make demo.*$", lambda _: demo(), block.script, flags=re.M)
        done = subprocess.run(
            ["bash", "-c", SHELL.format(python=sys.executable) + script],
            cwd=folder,
            env={**os.environ, "ZOO_DATA": str(folder / "data")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow  # they train for a minute or two
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks(page):
        do(block, tmp_path, namespace)


@pytest.mark.slow
@pytest.mark.parametrize("code", COMPLETE)
def test_a_complete_example_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<page>", "exec"), {})
