"""`zoo analyze` as a user types it."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.cli.conftest import SMALL_SHAPES, zoo


@pytest.fixture(scope="session")
def camnet_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "camnet"
    small = ("--model", "widths=[4, 8]", "--train", "batch_size=32", "--train", "epochs=1")
    done = zoo("train", "camnet", "shapes", *small, *SMALL_SHAPES, "--run", folder)
    assert done.returncode == 0, done.stderr
    return folder / "model.safetensors"


def test_it_says_where_it_looked_and_where_it_wrote(camnet_file, tmp_path):
    done = zoo(
        "analyze", "cam", camnet_file, "--split", "test", "--indices", "0-2,5", "--out", tmp_path / "a"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "INPUT TRUE PREDICTED PREDICTED PROBABILITY CLASS PROBABILITY PEAK"
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["test-00000", "circle"],
        ["test-00001", "ring"],
        ["test-00002", "square"],
        ["test-00005", "diamond"],
    ]
    assert lines[-1] == f"wrote {tmp_path / 'a'}: a picture and an array for each map, manifest.json"
    assert (tmp_path / "a" / "contact-sheet.png").exists()


def test_json_is_the_manifest(camnet_file, tmp_path):
    options = ("--split", "test", "--indices", "3", "--class", "frame", "--class", "2", "--score")
    done = zoo("analyze", "grad-cam", camnet_file, *options, "--out", tmp_path / "a", "--json")
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert {"analyzer", "weights_sha256", "out", "items", "scores"} <= told.keys()
    assert told["analyzer"] == "cam/grad-cam"
    assert [item["class"] for item in told["items"]] == ["frame", "square"]
    assert {"input", "class", "probability", "map", "overlay"} <= told["items"][0].keys()
    assert {"pointing_game", "deletion"} <= told["scores"].keys()


def test_the_folder_is_named_after_analyzer_and_run(camnet_file, tmp_path):
    done = zoo("analyze", "cam", camnet_file, "--split", "test", "--indices", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("wrote runs/cam-camnet: ")
    assert (tmp_path / "runs" / "cam-camnet" / "manifest.json").exists()


def test_a_whole_split_is_diagnosed(camnet_file, tmp_path):
    done = zoo("analyze", "confusion", camnet_file, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert "CLASS" in done.stdout
    assert "accuracy  " in done.stdout
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "manifest.json",
        "confusion.png",
        "confused.png",
    }
    told = f"wrote {tmp_path / 'a'}: confusion.png, confused.png, manifest.json"
    assert done.stdout.splitlines()[-1] == told


def test_a_language_model_is_shown_texts(lstm_file, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("the quick brown cat sleeps. " * 5)
    done = zoo("analyze", "confusion", lstm_file, text, "--out", tmp_path / "a", "--option", "length=20")
    assert done.returncode == 0, done.stderr
    assert "bits a token, from token" in done.stdout
    assert "\x1b" not in done.stdout, "no colours where there is no terminal"
    assert "<h1>" in (tmp_path / "a" / "surprise.html").read_text()
    done = zoo("analyze", "activations", lstm_file, "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert "LSTM" in done.stdout


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["cam", "LSTM", "x.png"],
            "cam/cam is for classification, and charrnn/lstm does language-modelling",
            "confusion",
        ),
        (["camm", "NET"], "no analyzer 'camm'; did you mean", "zoo list analyzer"),
        (["cam", "nothing.safetensors"], "there is no file nothing.safetensors", "zoo list weights"),
        (["cam", "NET", "--class", "rind"], "no class 'rind'; did you mean 'ring'?", "it knows circle"),
        (["cam", "NET", "--indices", "1-x"], "--indices '1-x' is not like 0,5,9 or 0-99", None),
        (["cam", "NET", "--indices", "5-2"], "--indices '5-2' is not like 0,5,9 or 0-99", None),
        (
            ["confusion", "NET", "--class", "ring"],
            "--class is for maps, and diagnose/confusion draws none",
            None,
        ),
        (["cam", "NET", "--indices", "16"], "there is no image 16 in the test split of 16 images", None),
        (["cam", "NET", "--layer", "stages"], "does not look at a layer of one's choice", None),
        (["grad-cam", "NET", "--layer", "stage"], "no layer 'stage'; did you mean", "it consists of stem"),
        (["grad-cam", "NET", "--option", "flips=2"], "flips: expected bool", None),
        (["confusion", "NET", "PICTURE"], "takes labels, and these images have none", "--split"),
        (["confusion", "LSTM", "PICTURE"], "is not UTF-8 text", None),
        (["confusion", "LSTM", "--indices", "1"], "--indices choose images, and the model reads text", None),
        (["cam", "NET", "--score", "--dataset", "nietzsche"], "is data for language-modelling", None),
    ],
)
def test_nonsense_is_told(camnet_file, lstm_file, tmp_path, words, message, hint):
    picture = tmp_path / "picture.png"
    Image.effect_noise((30, 20), 80).save(picture)
    known = {"NET": camnet_file, "LSTM": lstm_file, "PICTURE": picture}
    done = zoo("analyze", *(known.get(word, word) for word in words), "--out", tmp_path / "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert hint is None or hint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_long_table_says_what_it_leaves_out(camnet_file, tmp_path):
    done = zoo("analyze", "cam", camnet_file, "--split", "test", "--draw", "3", "--out", tmp_path / "a")
    assert "and 13 more in manifest.json and maps.npy; --draw 3 shows and draws no more" in done.stdout
    assert done.stdout.count("test-000") == 3


def test_scores_say_which_way_is_good(camnet_file, tmp_path):
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
    assert "(low is good)" in done.stdout
    assert "pointing_centre" in done.stdout


def test_a_picture_or_a_split_but_not_both(camnet_file, tmp_path):
    done = zoo("analyze", "cam", camnet_file, "x.png", "--split", "test", "--out", tmp_path)
    assert done.returncode == 2
    assert "give either INPUT or a split of the data, not both" in done.stderr


def test_a_file_where_the_folder_should_be(camnet_file, tmp_path):
    (tmp_path / "file").write_text("")
    done = zoo("analyze", "cam", camnet_file, "--indices", "0", "--out", tmp_path / "file")
    assert done.returncode == 1
    assert f"{tmp_path / 'file'} is a file, not a folder" in done.stderr
