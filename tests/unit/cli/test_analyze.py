"""`zoo analyze` as a user types it."""

from __future__ import annotations

import json
import re

import pytest

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
    files = "contact-sheet.png, an overlay and an array for each heat map, manifest.json"
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
        ("runs/sweep/trial-4", "cam-sweep-trial-4"),
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
    assert all(re.search(r" \d+\.\d\d%$", pair) for pair in pairs.splitlines())
    wrote = f"wrote {tmp_path / 'a'}: confusion.png, confused.png, manifest.json"
    assert done.stdout.splitlines()[-1] == wrote


def test_a_language_model_reads_texts(lstm_file, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("the quick brown cat sleeps. " * 5)
    done = zoo("analyze", "surprisal", lstm_file, text, "--out", tmp_path / "a", "--option", "length=20")
    assert done.returncode == 0, done.stderr
    assert "nats per token, starting at token" in done.stdout
    assert "\x1b" not in done.stdout, "colors without a terminal"
    assert "<h1>" in (tmp_path / "a" / "surprisal.html").read_text()
    done = zoo("analyze", "activations", lstm_file, "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert "LSTM" in done.stdout


def test_a_long_table_is_cut_and_says_so(camnet_file, tmp_path):
    done = zoo("analyze", "cam", camnet_file, "--split", "test", "--draw", "3", "--out", tmp_path / "a")
    assert (
        "and 13 more in manifest.json and maps.npy; to show and draw all of them, increase --draw (now 3)\n"
        in done.stdout
    )
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
