"""A task of numbers, `lines.py`: no labels, no classes, no random baseline, nothing in `preprocess`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from tests.nightly.reliability import toys
from tests.unit.plugins import lines
from zoo import testing
from zoo.cli import run
from zoo.runs.directory import RunDirectory
from zoo.training.state import TrainState

PLUGIN = Path(lines.__file__)
installed_as_others = pytest.mark.usefixtures("installed")


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = tmp_path_factory.mktemp("site")
    shutil.copy(PLUGIN, site)
    info = site / "zoo_lines-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-lines\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo]\nlines = lines\n")
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("lines", None)


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that runs a command with --json, and returns its document."""

    def ask(*arguments: str | Path) -> Any:
        capsys.readouterr()
        assert run(["--strict", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


@installed_as_others
def test_it_learns_and_is_measured_without_a_level_of_chance(
    tmp_path: Path, answer: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    trained = answer("train", "lines/bent", "lines/lines", "--run", tmp_path / "run")
    assert trained["metrics"]["val"]["rmse"] < 0.5
    assert trained["baseline"] == {}
    assert trained["better_than_baseline"]
    assert trained["epoch"] > 1
    result = answer("eval", tmp_path / "run")
    assert (result["count"], result["unit"], result["baseline"]) == (32, "rows", {})
    assert run(["eval", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert "32 rows" in printed.out
    assert "guessing" not in printed.out
    assert "baseline" not in printed.err
    assert answer("inspect", tmp_path / "run")["task"] == "regression"
    assert (tmp_path / "run" / "curve.png").exists()


@installed_as_others
def test_a_loss_without_a_unit_is_drawn_without_one() -> None:
    curve = zoo.lr_find("lines/bent", "lines/lines", batch_size=4, progress=False)
    (axes,) = curve.plot().axes
    assert axes.get_ylabel() == "loss"


@installed_as_others
def test_it_is_shown_and_its_rows_are_counted(answer: Callable[..., Any]) -> None:
    assert answer("show", "lines/lines")["splits"]["train"] == {"rows": 64}
    assert answer("show", "lines/bent")["parameters"] == 4 * 64 + 64 + 64 + 1
    assert answer("show", "regression")["primary_metric"] == "rmse"
    assert answer("lr-find", "lines/bent", "lines/lines", "--batch-size", "4")["suggestions"]


@installed_as_others
def test_an_analyzer_that_names_no_task_looks_into_it(tmp_path: Path, answer: Callable[..., Any]) -> None:
    answer("train", "lines/bent", "lines/lines", "--epochs", "1", "--run", tmp_path / "run")
    found = answer("analyze", "activations", tmp_path / "run", "--split", "val", "--out", tmp_path / "out")
    assert [row["kind"] for row in found["tables"]["layers"]] == ["Linear", "ReLU", "Linear"]
    assert found["scores"].keys() == {"most_dead"}


@installed_as_others
def test_it_resumes_bit_for_bit_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ["train", "lines/bent", "lines/lines", "--save-every", "3", "--epochs", "3", "--run"]
    assert run([*train, str(tmp_path / "whole")]) == 0
    save = RunDirectory.save

    def save_and_die(self: RunDirectory, state: TrainState) -> None:
        save(self, state)
        if state.epoch == 1 and state.batch:
            raise KeyError("as if killed")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save", save_and_die)
        assert run([*train, str(tmp_path / "killed")]) != 0
    assert run(["resume", str(tmp_path / "killed")]) == 0
    assert toys.outcome(tmp_path / "killed") == toys.outcome(tmp_path / "whole")


@installed_as_others
def test_weights_start_another_training(tmp_path: Path, answer: Callable[..., Any]) -> None:
    answer("train", "lines/bent", "lines/lines", "--run", tmp_path / "run")
    other = ["--data", "seed=1", "--from", tmp_path / "run", "--run", tmp_path / "other"]
    assert answer("train", "lines/bent", "lines/lines", *other)["metrics"]["val"]["rmse"] < 2


@installed_as_others
def test_it_answers_with_numbers(tmp_path: Path, answer: Callable[..., Any]) -> None:
    answer("train", "lines/bent", "lines/lines", "--epochs", "1", "--run", tmp_path / "run")
    (tmp_path / "a.txt").write_text("1 2 3 4")
    (tmp_path / "b.txt").write_text("1 2")
    rows = answer("predict", tmp_path / "run", tmp_path)
    model = zoo.load(tmp_path / "run", progress=False)
    with torch.no_grad():
        expected = float(model.module(torch.tensor([[1.0, 2.0, 3.0, 4.0]])))
    assert rows[0]["predictions"] == [{"value": pytest.approx(expected, rel=1e-5)}]
    assert rows[1]["error"] == "has 2 numbers, but the model reads 4"
    (row,) = model.predict([[1.0, 2.0, 3.0, 4.0]], progress=False)
    assert row["predictions"] == rows[0]["predictions"]
    model.predict([tmp_path / "a.txt"], progress=False).write(tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUN"], "is not a language model (task: regression)"),
        (["predict", "RUN", str(PLUGIN), "--top", "2"], "top requires a model that chooses among classes"),
        (["eval", "RUN", "--tta"], "regression does not support test-time augmentation"),
        (
            ["analyze", "confusion", "RUN"],
            "confusion is for classification, but lines/bent is for regression",
        ),
    ],
)
@installed_as_others
def test_what_it_cannot_is_refused_in_words(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "lines/bent", "lines/lines", "--epochs", "1", "--run", str(tmp_path / "run")]) == 0
    assert run([str(tmp_path / "run") if word == "RUN" else word for word in arguments]) in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.slow  # the whole kit
def test_the_kit_finds_nothing_wrong_with_it() -> None:
    outcomes = testing.check(str(PLUGIN), progress=False)
    assert [(outcome.name, outcome.reason) for outcome in outcomes if outcome.outcome != "passed"] == []
    assert testing.shortfall(outcomes) == []
    assert {outcome.kind for outcome in outcomes} >= {"plugin", "architecture", "dataset"}


@installed_as_others
def test_an_error_of_its_model_suggests_checking_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "lines/bent", "lines/lines", "--epochs", "1", "--run", str(tmp_path / "run")]) == 0
    monkeypatch.setattr(sys.modules["lines"].Bent, "forward", lambda self, rows: (rows, 0))
    capsys.readouterr()
    for command in (
        ["train", "bent", "lines/lines", "--run", str(tmp_path / "wrong")],
        ["eval", str(tmp_path / "run")],
    ):
        assert run(command) == 1
        assert "     `zoo check lines` may explain this error; `zoo --debug ...`" in capsys.readouterr().err
    ours = ["mlp", "shapes", "--data", "train_size=8", "--model", "widths=0", "--run", str(tmp_path / "ours")]
    assert run(["train", *ours]) != 0
    assert "zoo check" not in capsys.readouterr().err
