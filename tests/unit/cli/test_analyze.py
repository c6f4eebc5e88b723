"""`zoo analyze` as a user types it."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from tests.shell import SMALL_SHAPES, zoo


@pytest.fixture(scope="session")
def camnet_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "camnet"
    small = ("--model", "widths=[4, 8]", "--batch-size", "32", "--epochs", "1")
    done = zoo("train", "camnet", "shapes", *small, *SMALL_SHAPES, "--run", folder)
    assert done.returncode == 0, done.stderr
    return folder / "model.safetensors"


def test_it_prints_where_the_model_looks_and_what_was_written(camnet_file, tmp_path):
    done = zoo(
        "analyze", "cam", camnet_file, "--split", "test", "--indices", "0-2,5", "--out", tmp_path / "a"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "INPUT TRUE PREDICTED PEAK"
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["test-00000", "circle"],
        ["test-00001", "ring"],
        ["test-00002", "square"],
        ["test-00005", "diamond"],
    ]
    files = "contact-sheet.png, an overlay and an array for each map, manifest.json"
    assert lines[-1] == f"wrote {tmp_path / 'a'}: {files}"
    assert (tmp_path / "a" / "contact-sheet.png").exists()


def test_json_is_the_manifest(camnet_file, tmp_path):
    options = ("--split", "test", "--indices", "3", "--class", "frame", "--class", "2", "--score")
    done = zoo("analyze", "grad-cam", camnet_file, *options, "--out", tmp_path / "a", "--json")
    manifest = json.loads(done.stdout)
    assert manifest == json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert {"analyzer", "weights_sha256", "out", "items", "scores"} <= manifest.keys()
    assert manifest["analyzer"] == "cam/grad-cam"
    assert [item["class"] for item in manifest["items"]] == ["frame", "square"]
    assert {"input", "class", "probability", "map", "overlay"} <= manifest["items"][0].keys()
    assert {"pointing_game", "deletion"} <= manifest["scores"].keys()


@pytest.mark.parametrize(
    ("weights", "folder"),
    [
        ("runs/v1.5/model.safetensors", "cam-v1.5"),
        ("runs/v1.5", "cam-v1.5"),
        ("shapes-0.1.safetensors", "cam-shapes-0.1"),
        ("model.safetensors", "cam-model"),
    ],
)
def test_the_output_folder_is_named_after_analyzer_and_weights(camnet_file, tmp_path, weights, folder):
    path = tmp_path / weights
    file = path if path.suffix == ".safetensors" else path / "model.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(camnet_file)
    done = zoo("analyze", "cam", weights, "--split", "test", "--indices", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"wrote runs/{folder}: ")
    assert (tmp_path / "runs" / folder / "manifest.json").exists()


def test_a_whole_split_is_analyzed(camnet_file, tmp_path):
    done = zoo("analyze", "confusion", camnet_file, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert "CLASS" in done.stdout
    assert "accuracy  " in done.stdout
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "manifest.json",
        "confusion.png",
        "confused.png",
    }
    (pairs,) = re.findall(r"TRUE +PREDICTED +COUNT +SHARE\n((?:.+\n)+)", done.stdout)
    assert all(re.search(r" \d+\.\d\d %$", pair) for pair in pairs.splitlines())
    wrote = f"wrote {tmp_path / 'a'}: confusion.png, confused.png, manifest.json"
    assert done.stdout.splitlines()[-1] == wrote


def test_a_language_model_reads_texts(lstm_file, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("the quick brown cat sleeps. " * 5)
    done = zoo("analyze", "surprisal", lstm_file, text, "--out", tmp_path / "a", "--option", "length=20")
    assert done.returncode == 0, done.stderr
    assert "nats per token, from token" in done.stdout
    assert "\x1b" not in done.stdout, "colors without a terminal"
    assert "<h1>" in (tmp_path / "a" / "surprisal.html").read_text()
    done = zoo("analyze", "activations", lstm_file, "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert "LSTM" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (
            ["cam", "LSTM", "x.png"],
            1,
            "cam/cam is for classification and multi-label, but charrnn/lstm is for language-modeling",
            "surprisal",
        ),
        (["camm", "NET"], 1, "unknown analyzer 'camm'; did you mean 'cam'?", "zoo list analyzers"),
        (
            ["cam", "nothing.safetensors"],
            1,
            "no such file or run directory: nothing.safetensors",
            "zoo list weights",
        ),
        (
            ["cam", "NET", "--class", "rind"],
            2,
            "the model has no class 'rind'; did you mean 'ring'?",
            "its classes: circle",
        ),
        (["cam", "NET", "--indices", "1-x"], 2, "--indices must look like 0,5,9 or 0-99 (got '1-x')", None),
        (["cam", "NET", "--indices", "5-2"], 2, "--indices must look like 0,5,9 or 0-99 (got '5-2')", None),
        (
            ["confusion", "NET", "--class", "ring"],
            2,
            "a class is for maps, which diagnose/confusion does not draw",
            None,
        ),
        (
            ["cam", "NET", "--indices", "16"],
            2,
            "index 16 is out of range: the test split has 16 images",
            None,
        ),
        (["cam", "NET", "--layer", "stages"], 2, "cam/cam does not take a layer", "grad-cam"),
        (
            ["grad-cam", "NET", "--layer", "stage"],
            2,
            "the model has no layer 'stage'; did you mean 'stages'?",
            "stem, stages",
        ),
        (["grad-cam", "NET", "--option", "flips=2"], 2, "flips must be true or false (got 2)", None),
        (["confusion", "NET", "IMAGE"], 2, "requires labels, but these images have none", "--split"),
        (["surprisal", "LSTM", "IMAGE"], 1, "not text: it contains zero bytes", None),
        (
            ["surprisal", "LSTM", "--indices", "1"],
            2,
            "--indices selects items, but the model reads a sequence",
            None,
        ),
        (
            ["cam", "NET", "--score", "--dataset", "nietzsche"],
            1,
            "the model is for classification, but text/nietzsche is for language-modeling",
            None,
        ),
    ],
)
def test_an_error_names_what_is_wrong(camnet_file, lstm_file, tmp_path, words, code, message, hint):
    image = tmp_path / "image.png"
    Image.effect_noise((30, 20), 80).save(image)
    known = {"NET": camnet_file, "LSTM": lstm_file, "IMAGE": image}
    done = zoo("analyze", *(known.get(word, word) for word in words), "--out", tmp_path / "a")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert hint is None or hint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_long_table_is_cut_and_says_so(camnet_file, tmp_path):
    done = zoo("analyze", "cam", camnet_file, "--split", "test", "--draw", "3", "--out", tmp_path / "a")
    assert "and 13 more in manifest.json and maps.npy; raise --draw 3 to show and draw them\n" in done.stdout
    assert done.stdout.count("test-000") == 3


def test_scores_say_whether_lower_or_higher_is_better(camnet_file, tmp_path):
    done = zoo(
        "analyze",
        "cam",
        camnet_file,
        "--indices",
        "0-3",
        "--class",
        "true",
        "--score",
        "--out",
        tmp_path / "a",
    )
    assert re.search(r"^deletion +[\d.e-]+ +lower is better$", done.stdout, re.M)
    assert "pointing_center" in done.stdout


def test_an_image_or_a_split_but_not_both(camnet_file, tmp_path):
    done = zoo("analyze", "cam", camnet_file, "x.png", "--split", "test", "--out", tmp_path)
    assert done.returncode == 2
    assert "give either inputs or a split of the data, not both" in done.stderr


def test_a_file_is_refused_as_the_output_folder(camnet_file, tmp_path):
    (tmp_path / "file").write_text("")
    done = zoo("analyze", "cam", camnet_file, "--indices", "0", "--out", tmp_path / "file")
    assert done.returncode == 1
    assert f"{tmp_path / 'file'} is a file, not a folder" in done.stderr
