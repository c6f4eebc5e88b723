"""What docs/looking-inside.md says in code works, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from zoo import Registry
from zoo.analysis import analyze
from zoo.analysis.faithfulness import box_scores
from zoo.models import weights
from zoo.registry.catalog import Catalog

PAGE = Path(__file__).parents[2] / "docs" / "looking-inside.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.S | re.M)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.startswith("ring 0.9")
    assert (tmp_path / "out" / "manifest.json").exists()


def test_no_table_was_forgotten() -> None:
    assert not re.findall(r"^[A-Z]{4,}$", TEXT, flags=re.M)


def test_every_picture_and_file_it_names_is_there() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(named) > 10
    assert [name for name in named if not (PAGE.parent / name).exists()] == []


@pytest.mark.parametrize("analyzer", ["cam", "grad-cam"])
def test_the_published_network_looks_at_its_objects(registry: Registry, analyzer: str) -> None:
    path = weights.find("shapes-resnet20", Catalog.load())
    data = {"train_size": 8, "test_size": 150}
    found = analyze(analyzer, path, registry, split="test", data=data, classes=["true"])
    scores = box_scores(found.analysis.maps[:, 0], found.inputs.boxes, size=64)  # type: ignore[index,arg-type]
    assert scores["pointing_game"] > 0.9
    assert scores["pointing_centre"] < 0.1
    assert torch.isfinite(found.analysis.maps).all()  # type: ignore[arg-type]
