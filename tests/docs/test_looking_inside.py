"""The code of docs/explanation/looking-inside.md runs, and the files that the page names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from zoo.analysis.faithfulness import box_scores
from zoo.api.load_weights import load
from zoo.registry.registry import Registry
from zoo.testing.finding_weights import find_weights

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "looking-inside.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.nightly  # ten seconds
def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.S | re.M)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.startswith("ring 0.9")
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("analyzer", ["cam", "grad-cam"])
def test_the_maps_of_the_published_network_point_at_its_objects(registry: Registry, analyzer: str) -> None:
    model = load(find_weights(registry, "shapes-resnet20"), registry=registry)
    data = {"train_size": 8, "test_size": 150}
    found = model.analyze(analyzer, split="test", data=data, classes=["true"])
    boxes = [boxes for by_class in found.inputs.boxes or () for boxes in by_class.values()]
    scores = box_scores(found.analysis.maps[:, 0], boxes, size=64)  # type: ignore[index]
    assert scores["pointing_game"] > 0.9
    assert scores["pointing_center"] < 0.1
    assert torch.isfinite(found.analysis.maps).all()  # type: ignore[arg-type]
