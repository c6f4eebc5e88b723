"""WEIGHTS may be an id, a file or a run directory, in every command."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.cli.conftest import zoo

ENTRY = """
schema = 1

[recipes.fox]
architecture = "lstm"
dataset = "files"
data = {{ paths = "fox.txt" }}

[weights.fox]
recipe = "fox"
file = "{file}"
sha256 = "{sha256}"
bytes = {bytes}
params = 1
metrics = {{}}
"""
FORMS = ["id", "file", "folder"]


@pytest.fixture(scope="module")
def desk(lstm_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose registry.toml publishes a small LSTM under the id `fox`."""
    folder = tmp_path_factory.mktemp("desk")
    content = lstm_file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    entry = ENTRY.format(file=lstm_file, sha256=digest, bytes=len(content))
    (folder / "registry.toml").write_text(entry, encoding="utf-8")
    return folder


@pytest.fixture(params=FORMS)
def weights(request: pytest.FixtureRequest, lstm_file: Path) -> str:
    return {"id": "fox", "file": str(lstm_file), "folder": str(lstm_file.parent)}[request.param]


def document(*arguments: str | Path, cwd: Path) -> dict:
    done = zoo(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_eval(desk: Path, lstm_file: Path, weights: str) -> None:
    assert document("eval", weights, cwd=desk) == document("eval", lstm_file, cwd=desk)


def test_sample(desk: Path, lstm_file: Path, weights: str) -> None:
    options = ("--prompt", "the ", "--length", "20")
    assert document("sample", weights, *options, cwd=desk) == document(
        "sample", lstm_file, *options, cwd=desk
    )


def test_inspect(desk: Path, lstm_file: Path, weights: str) -> None:
    card = document("inspect", weights, cwd=desk)
    assert card["architecture"] == "charrnn/lstm"
    assert zoo("inspect", weights, cwd=desk).stdout == zoo("inspect", lstm_file, cwd=desk).stdout


def test_analyze(desk: Path, lstm_file: Path, weights: str, tmp_path: Path) -> None:
    manifest = document("analyze", "activations", weights, "--out", tmp_path / "out", cwd=desk)
    assert manifest["weights"] == str(lstm_file)
    assert manifest["weights_sha256"] == document("inspect", lstm_file, cwd=desk)["sha256"]


def test_from(desk: Path, text_file: Path, weights: str, tmp_path: Path) -> None:
    options = ("--data", f"paths={text_file}", "--batch-size", "8", "--from", weights)
    done = zoo("train", "lstm", "files", *options, "--run", tmp_path / "run", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "starting from " in done.stderr
    card = document("inspect", tmp_path / "run", cwd=desk)
    assert card["base_model"]["sha256"] == document("inspect", "fox", cwd=desk)["sha256"]


@pytest.mark.parametrize(
    "command", [["eval"], ["sample"], ["inspect"], ["analyze", "activations"]], ids=lambda words: words[0]
)
def test_a_run_without_final_weights_is_refused(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text("")
    done = zoo(*command, "run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run is a folder without a model.safetensors" in done.stderr
