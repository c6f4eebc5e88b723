"""The notebooks of exercises run on small data, and on the real data the solutions find what they expect."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot

LESSONS = Path(__file__).parents[3] / "examples" / "lessons"
SMALL_TEXT = {"DATASET": "stdlib", "CHARACTERS": 8000, "STREAMS": 8, "STEPS": 3, "HIDDEN": 16, "PASSAGE": 400}
SMALL_IMAGES = {"DATASET": "shapes", "IMAGES": 64, "UNSEEN": 16, "EPOCHS": 1, "STEPS": 9, "DEPTH": 2}
SMALL = {"text.ipynb": SMALL_TEXT | {"SAMPLED": 9}, "images.ipynb": SMALL_IMAGES}


def cells(name: str) -> list[tuple[dict[str, Any], str]]:
    notebook = json.loads((LESSONS / name).read_text(encoding="utf-8"))
    return [(cell, "".join(cell["source"])) for cell in notebook["cells"]]


def run(name: str, **constants: Any) -> list[tuple[float, float, float]]:
    """Execute all code, with these constants; return what the solutions find, and between which limits."""
    expected: list[Any] = []
    names: dict[str, Any] = {}
    for cell, source in cells(name):
        if source.startswith("# Solutions"):
            expected.clear()
        if cell["cell_type"] == "code":
            exec(compile(source, f"{name} {cell['id']}", "exec"), names)
            names |= constants | {"expect": lambda *numbers: expected.append(numbers)}
    return expected


@pytest.fixture(autouse=True)
def _in_a_folder_without_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "show", pyplot.close)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", SMALL)
def test_all_cells_run_on_small_data(name: str) -> None:
    assert len(run(name, **SMALL[name])) >= 12


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the real data in $ZOO_DATA")
@pytest.mark.parametrize("name", SMALL)
def test_the_solutions_find_what_they_expect(name: str) -> None:
    assert [numbers for numbers in run(name) if not numbers[1] <= numbers[0] <= numbers[2]] == []


@pytest.mark.parametrize("name", SMALL)
def test_each_exercise_has_a_collapsed_solution_and_no_output(name: str) -> None:
    texts = [source for _, source in cells(name)]
    at = next(at for at, text in enumerate(texts) if text.startswith("# Solutions"))
    parts = texts[:at], texts[at:]
    exercises, solutions = ([t.split("\n")[0].strip("# ") for t in part if t[:2] == "##"] for part in parts)
    assert exercises == solutions
    assert sum("Break it: " in title for title in exercises) >= 3
    for number, (cell, _) in enumerate(cells(name)):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["metadata"].get("tags", []) == (["solution"] if number > at else [])
            assert cell["metadata"].get("jupyter", {}).get("source_hidden", False) is (number > at)
