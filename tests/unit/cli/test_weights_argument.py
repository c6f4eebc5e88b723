"""WEIGHTS may be an id, a file or a run directory, in every command."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.shell import zoo
from zoo.errors import WeightsError
from zoo.registry.registry import Registry
from zoo.runs.resolving import resolve
from zoo.testing.finding_weights import find_weights

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
def lstm_file(lstm_file: Path) -> Path:
    """Return the file that the directory of a run stands for."""
    return lstm_file.with_name("best.safetensors")


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


@pytest.mark.parametrize("words", [("eval",), ("sample", "--prompt", "the ", "--max-new-tokens", "20")])
def test_eval_and_sample(desk: Path, lstm_file: Path, weights: str, words: tuple[str, ...]) -> None:
    ours, theirs = (document(words[0], each, *words[1:], cwd=desk) for each in (weights, lstm_file))
    assert ours == theirs


def test_analyze(desk: Path, lstm_file: Path, weights: str, tmp_path: Path) -> None:
    manifest = document("analyze", "activations", weights, "--out", tmp_path / "out", cwd=desk)
    assert manifest["weights"] == str(lstm_file)
    assert manifest["weights_sha256"] == document("inspect", lstm_file, cwd=desk)["sha256"]


def test_from(desk: Path, text_file: Path, weights: str, tmp_path: Path) -> None:
    options = ("--data", f"paths={text_file}", "--batch-size", "8", "--epochs", "1", "--from", weights)
    done = zoo("train", "lstm", "files", *options, "--run", tmp_path / "run", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "starting from " in done.stderr
    card = document("inspect", tmp_path / "run", cwd=desk)
    assert card["base_model"]["sha256"] == document("inspect", "fox", cwd=desk)["sha256"]


def test_an_id_is_not_shadowed_by_a_folder_of_its_name(desk: Path, lstm_file: Path) -> None:
    (desk / "fox").mkdir(exist_ok=True)
    assert document("inspect", "fox", cwd=desk) == document("inspect", lstm_file, cwd=desk)


def test_a_path_object_is_never_an_id(desk: Path, lstm_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "net").mkdir(exist_ok=True)
    (desk / "net" / "model.safetensors").write_bytes(lstm_file.read_bytes())
    monkeypatch.chdir(desk)
    registry = Registry.discover()
    assert find_weights(registry, Path("net")) == Path("net/model.safetensors")
    resolved = resolve("fox", None, registry, from_weights=Path("net"))
    assert resolved.recipe.from_weights == "./net"
    with pytest.raises(WeightsError, match="no such file or run directory: gone"):
        find_weights(registry, Path("gone"))


def test_a_run_directory_knows_where_its_data_lay(tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / "images" / ("bright" if number % 2 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number + 200 * (number % 2),) * 3).save(folder / f"{number}.png")
    data = ("--data", "root=images", "--data", "size=8")
    done = zoo("train", "mlp", "folder", *data, "--epochs", "1", "--run", "runs/own", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document("analyze", "confusion", "runs/own", "--out", "out", cwd=tmp_path)
    document("analyze", "activations", "runs/own", "images/dark", "--out", "of-files", cwd=tmp_path)
    shutil.copy(tmp_path / "runs/own/model.safetensors", tmp_path / "given.safetensors")
    assert "requires root" in zoo("eval", "given.safetensors", cwd=tmp_path).stderr
    given = document("eval", "given.safetensors", "--data", "root=images", cwd=tmp_path)
    ours = document("eval", "runs/own", cwd=tmp_path)
    assert given | {"weights": ""} == ours | {"weights": ""}
