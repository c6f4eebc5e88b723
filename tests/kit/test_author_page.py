"""What docs/plugins.md says is so: its examples pass the kit, and its table is the kit's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from zoo.testing._table import CHECKS

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with each file of the page, and the package as if installed there."""
    text = PAGE.read_text(encoding="utf-8")
    for name, block in re.findall(r"^`([\w./]+)`(?:[^\n]+\n)+\n```\w+\n(.*?)^```", text, flags=re.S | re.M):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block, encoding="utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    home = tmp_path / "acme_zoo.dist-info"
    home.mkdir()
    (home / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [f"{name} = {value}\n" for name, value in project["entry-points"]["zoo"].items()]
    (home / "entry_points.txt").write_text("[zoo]\n" + "".join(points))
    (tmp_path / "registry.toml").write_text(re.findall(r"```toml\n(schema.*?)^```", text, re.S | re.M)[0])
    return tmp_path


@pytest.mark.parametrize("target", ["acme", "acme-zoo", "dna.py"])
def test_an_example_of_the_page_passes_the_kit(target, files, run_zoo):
    done = run_zoo("check", target, path=[files], cwd=files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 skipped, 0 failed" in done.stdout


def test_the_examples_are_listed(files, run_zoo):
    told = run_zoo("list", path=[files], cwd=files).stdout
    assert "acme/patchnet" in told
    assert "dna/bases" in told


def test_the_table_of_checks_is_the_kits():
    table = PAGE.read_text(encoding="utf-8").partition("| check |")[2]
    rows = re.findall(r"^\| `(\w+)` \|", table, flags=re.M)
    assert rows == [check.name for check in CHECKS]
